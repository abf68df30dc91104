/** A process that samples: `sample-process <folder of the prior> <its options as JSON>`, started by `sample-processes.ts`. */
import { answerRequests } from "../shared/process-pool.ts";
import { Rng } from "../shared/rng.ts";
import type { LearntOptions } from "./learnt.ts";
import { loadPrior } from "./prior.ts";
import { READY, type Answer, type Question } from "./sample-processes.ts";

const [directory = "", options = "{}"] = process.argv.slice(2);
const loading = loadPrior(directory, JSON.parse(options) as LearntOptions);
loading.catch(() => undefined); // every request will be told

answerRequests<Question, Answer, number>(async (question, tell) => {
  const prior = await loading;
  if (question === READY) return undefined;
  const { count, firstIndex, key, known, asked } = question;
  const batch = { count, batchSize: count, firstIndex, rng: Rng.fromKey(key), known };
  return prior.sample({ ...asked, ...batch, onProgress: tell });
});
