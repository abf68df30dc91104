/** Differentiation of pure functions: what `gradients(state, batch)` of every training step is built on. */
import { tf } from "../engine/tf.ts";
import type { Tensors } from "../engine/engine.ts";

/**
 * Identity forward, no gradient backward: sg(x). A new handle on the same data, which the gradient tape has never seen
 * (`customGrad` would still propagate a float zero, which integer inputs such as gather's indices refuse).
 */
export function stopGradient<T extends tf.Tensor>(x: T): T {
  const engine = tf.engine();
  engine.backend.incRef(x.dataId);
  return engine.makeTensorFromTensorInfo(x, engine.backend) as T;
}

/**
 * Value, gradients and by-products of a scalar loss.
 * @param weights the tensors to differentiate for, by name
 * @param lossOf returns the scalar `loss` and any tensors worth keeping beside it
 * @returns gradients under the weights' names
 */
export function valueAndGradients<Aux extends Tensors>(
  weights: Tensors,
  lossOf: (weights: Tensors) => { loss: tf.Tensor; aux: Aux },
): { loss: tf.Scalar; aux: Aux; gradients: Tensors } {
  const names = Object.keys(weights);
  let kept: Aux | undefined;
  const compute = tf.valueAndGrads((...tensors: tf.Tensor[]) => {
    const { loss, aux } = lossOf(Object.fromEntries(names.map((name, i) => [name, tensors[i] as tf.Tensor])));
    // The gradient scope disposes what is not returned; by-products must outlive it.
    for (const tensor of Object.values(aux)) tf.keep(tensor);
    kept = aux;
    return loss;
  });
  const { value, grads } = compute(names.map((name) => weights[name] as tf.Tensor));
  if (kept === undefined) throw new Error("valueAndGradients: the loss function did not run.");
  return {
    loss: value as tf.Scalar,
    aux: kept,
    gradients: Object.fromEntries(names.map((name, i) => [name, grads[i] as tf.Tensor])),
  };
}
