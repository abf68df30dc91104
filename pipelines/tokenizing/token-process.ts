/** A process that makes tokens: `token-process <folder of the tokenizer> <its options as JSON>`, started by `token-processes.ts`. */
import { answerRequests } from "../../shared/process-pool.ts";
import { loadTokenizer } from "../../stage1-tokenizer/index.ts";
import { encodeImages, type LeftOut, type ReadImage, type TokenizedImage } from "./token-maker.ts";
import type { TokenizerOptions } from "./token-processes.ts";

const [directory = "", options = "{}"] = process.argv.slice(2);
const loading = loadTokenizer(directory, JSON.parse(options) as TokenizerOptions);
loading.catch(() => undefined); // every request will be told

answerRequests<(ReadImage | LeftOut)[], (TokenizedImage | LeftOut)[]>(async (images) =>
  encodeImages(await loading, images),
);
