/** No bottleneck but the number of channels: the plain autoencoder, to compare with. It cannot generate: nobody knows which z are images. */
import type { Tensors } from "../../shared/engine/engine.ts";
import type { tf } from "../../shared/engine/tf.ts";
import type { ContinuousBottleneck } from "./bottleneck.ts";
import { checkChannels } from "./nearest.ts";

export function createNone({
  grid,
  codeDimension,
}: {
  readonly grid: readonly number[];
  readonly codeDimension: number;
}) {
  const pass = (zE: tf.Tensor): tf.Tensor => {
    checkChannels(zE, codeDimension);
    return zE;
  };
  return {
    kind: "continuous",
    name: "none",
    encoderChannels: codeDimension,
    decoderChannels: codeDimension,
    latentShape: [...grid, codeDimension],
    initialState: () => ({ spec: {}, values: {} }),
    drawn: { spec: {}, draw: () => ({}) },
    forward: (zE: tf.Tensor) => ({ z: pass(zE), terms: {}, statistics: {}, metrics: {} }),
    latent: pass,
    fromLatent: (latent: tf.Tensor, _state: Tensors) => latent,
    updateState: () => ({}),
  } as const satisfies ContinuousBottleneck;
}
