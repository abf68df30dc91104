import { it } from "vitest";
import { trace } from "../../../shared/engine/trace/trace.ts";
import { tf } from "../../../shared/engine/tf.ts";
import { exportFunction } from "../../../shared/engine/export.ts";
import { createSession } from "../../../shared/onnx/session.ts";
it("p", async () => {
  for (const f of [
    () => trace((i) => ({ y: tf.acos(i["x"] as tf.Tensor) }), { inputs: { x: { shape: [2], dtype: "float32" } } }),
    () => trace((i) => ({ y: tf.grad((a: tf.Tensor) => tf.sum(tf.elu(a)))(i["x"] as tf.Tensor) }), { inputs: { x: { shape: [2], dtype: "float32" } } }),
    () => trace((i) => ({ y: tf.tensor((i["x"] as tf.Tensor).dataSync()) }), { inputs: { x: { shape: [2], dtype: "float32" } } }),
    () => trace((i) => ({ y: tf.add(i["x"] as tf.Tensor, outside) }), { inputs: { x: { shape: [2], dtype: "float32" } } }),
  ]) try { f(); console.log("no throw"); } catch (e) { console.log((e as Error).message, "\n", ((e as Error).cause as Error)?.stack?.split("\n").slice(0,12).join("\n")); }
  for (const fn of [
    (i: any) => ({ y: tf.add(i.x, tf.range(0, i.x.shape[0])) }),
    (i: any) => ({ y: tf.div(i.x, i.x.shape[0]) }),
    (i: any) => ({ y: tf.slice(i.x, [1], [i.x.shape[0] - 1]) }),
    (i: any) => ({ y: tf.sum(i.x.shape[0] > 0 ? tf.ones([i.x.shape[0]]) : i.x) }),
    (i: any) => ({ y: tf.mean(tf.add(i.x, 1)) }),
    (i: any) => ({ y: tf.oneHot(tf.cast(i.x, "int32"), i.x.shape[0]) }),
    (i: any) => ({ y: tf.tile(tf.reshape(i.x,[1,-1]), [i.x.shape[0], 1]) }),
    (i: any) => ({ y: tf.cast(tf.ones([100000, 1]), "float32"), z: i.x }),
  ]) {
    try {
      const s = await createSession(exportFunction(fn, { name: "x", doc: "", inputs: { x: { shape: ["N"], dtype: "float32" } }, weights: { spec: {}, values: {} } }));
      const o = await s.run({ x: { type: "float32", shape: [3], data: Float32Array.of(0, 1, 2) } });
      console.log(fn.toString().slice(0,70), o.y!.shape, (o.y!.data as Float32Array).slice(0, 9));
    } catch (e) { console.log(fn.toString().slice(0,70), (e as Error).message.slice(0, 300)); }
  }
});
const outside = tf.tensor([1, 2]);
