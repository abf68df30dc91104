/** The line where a loss is chosen: every name has its own. */
import { expect, test } from "vitest";
import { tf } from "../../../shared/engine/tf.ts";
import { RECONSTRUCTIONS } from "../../../stage1-tokenizer/config.ts";
import { createReconstruction } from "../../../stage1-tokenizer/reconstruction/create-reconstruction.ts";
import { numbers, ownWeights, someImages } from "../../contracts/reconstruction.ts";

test.each(RECONSTRUCTIONS)("%s is chosen by its name", (reconstruction) => {
  expect(createReconstruction({ reconstruction }).name).toBe(reconstruction);
});

test("the data's variance scales those that are measured in it, and no likelihood", () => {
  const ratio = (reconstruction: (typeof RECONSTRUCTIONS)[number]): number => {
    const [loss, scaled] = [1, 0.25].map((dataVariance) => {
      const leaf = createReconstruction({ reconstruction }, { dataVariance });
      const output = tf.zerosLike(someImages());
      return numbers(leaf.perImage({ images: someImages(), output, weights: ownWeights(leaf) }))[0] ?? NaN;
    });
    return (scaled ?? NaN) / (loss ?? NaN);
  };
  expect(RECONSTRUCTIONS.map(ratio)).toEqual([4, 2, 1, 1, 1]);
});
