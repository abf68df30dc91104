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
 * One pass, in which either goes first by turns: whoever is second finds the images in the cache. The first batch is encoded once beforehand.
 * @throws bad-input if no image can be decoded; the signal's reason
 */
export async function measureDtypeCost(options: CostOptions): Promise<DtypeCost> {
  const { float32, int8, signal } = options;
  const seconds = { float32: 0, int8: 0 };
  const timed = async (dtype: keyof typeof seconds, images: Uint8Array): Promise<Int32Array> => {
    const start = performance.now();
    const { tokens } = await { float32, int8 }[dtype].encode(images);
    seconds[dtype] += (performance.now() - start) / 1000;
    return tokens;
  };
  let [same, all, batches] = [0, 0, 0];
  async function* passes(): AsyncGenerator<Reconstructed> {
    const { preprocessing, spec } = float32;
    const streamed = { records: options.records.records(), preprocessing, batchSize: options.batchSize ?? BATCH_SIZE };
    const onFailure = (): void => undefined; // the evaluation has told of them
    for await (const { images, keys } of streamImages({ ...streamed, onFailure })) {
      signal.throwIfAborted();
      if (batches === 0) await Promise.all([float32.encode(images), int8.encode(images)]);
      const early = batches++ % 2 === 0 ? undefined : await timed("int8", images);
      const tokens = await timed("float32", images);
      const others = early ?? (await timed("int8", images));
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
