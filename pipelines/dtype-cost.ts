/** What int8 costs a tokenizer and what it brings: the same images by the same artefact in float32, beside it. Knows no options. */
import {
  measureTokenizer,
  streamImages,
  type Reconstructed,
  type Records,
  type Tokenizer,
} from "../stage1-tokenizer/index.ts";

export interface DtypeCost {
  /** Of float32, dB. */
  readonly psnr: number;
  /** Share of the tokens that are those of float32. */
  readonly agreement: number;
  /** Seconds of encoding the same batches. */
  readonly seconds: { readonly float32: number; readonly int8: number };
}

export interface CostOptions {
  readonly float32: Tokenizer;
  readonly int8: Tokenizer;
  readonly records: Records;
  readonly batchSize?: number;
  readonly signal: AbortSignal;
}

const BATCH_SIZE = 16;

/**
 * One pass. Each batch is encoded twice by either and timed the second time: threads of a session that has just run go on looking for work for a while,
 * and take the processor from the other's.
 * @throws bad-input if no image can be decoded; the signal's reason
 */
export async function measureDtypeCost(options: CostOptions): Promise<DtypeCost> {
  const { float32, int8, signal } = options;
  const seconds = { float32: 0, int8: 0 };
  const timed = async (dtype: keyof typeof seconds, images: Uint8Array): Promise<Int32Array> => {
    const tokenizer = { float32, int8 }[dtype];
    await tokenizer.encode(images);
    const start = performance.now();
    const { tokens } = await tokenizer.encode(images);
    seconds[dtype] += (performance.now() - start) / 1000;
    return tokens;
  };
  let [same, all] = [0, 0];
  async function* passes(): AsyncGenerator<Reconstructed> {
    const { preprocessing, spec } = float32;
    const streamed = { records: options.records.records(), preprocessing, batchSize: options.batchSize ?? BATCH_SIZE };
    const onFailure = (): void => undefined; // the evaluation has told of them
    for await (const { images, keys } of streamImages({ ...streamed, onFailure })) {
      signal.throwIfAborted();
      const tokens = await timed("float32", images);
      const others = await timed("int8", images);
      same += tokens.filter((token, i) => token === others[i]).length;
      all += tokens.length;
      const shape = [keys.length, ...spec.grid] as const;
      const reconstructions = await float32.decode({ tokens, shape });
      yield { originals: images, reconstructions, size: spec.imageSize, tokens };
    }
  }
  const { psnr } = await measureTokenizer(passes(), float32.spec.codebookSize);
  return { psnr, agreement: same / all, seconds };
}
