/** The one place where a reconstruction loss is chosen by its name in the configuration. */
import type { TokenizerConfig } from "../config.ts";
import { createBce } from "./bce.ts";
import { createGaussianLikelihood } from "./gaussian.ts";
import { createL1 } from "./l1.ts";
import { createL2 } from "./l2.ts";
import { createLogistic } from "./logistic.ts";
import type { Reconstruction } from "./reconstruction.ts";

/** @param data variance of the training images on the 0 … 1 scale, for the losses that are measured in it; 1 where nothing is trained */
export function createReconstruction(
  { reconstruction }: Pick<TokenizerConfig, "reconstruction">,
  data: { readonly dataVariance: number } = { dataVariance: 1 },
): Reconstruction {
  switch (reconstruction) {
    case "l2":
      return createL2(data);
    case "l1":
      return createL1(data);
    case "bce":
      return createBce();
    case "gaussian":
      return createGaussianLikelihood();
    case "logistic":
      return createLogistic();
    default:
      return reconstruction satisfies never;
  }
}
