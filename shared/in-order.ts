/** Work on a stream of items, some at a time, with results in the order of the items. Knows nothing of the work. */

/**
 * Takes an item when one is wanted and fewer than `ahead` are under way: the consumer's pace bounds memory. An error comes out where the result
 * would have.
 */
export async function* inOrder<Item, Result>(
  items: AsyncIterable<Item>,
  ahead: number,
  work: (item: Item) => Promise<Result>,
): AsyncGenerator<Result, void, undefined> {
  const underWay: Promise<Result>[] = [];
  for await (const item of items) {
    const result = work(item);
    result.catch(() => undefined); // an error nobody has come to yet must not end the process
    underWay.push(result);
    const first = underWay.length >= ahead ? underWay.shift() : undefined;
    if (first !== undefined) yield await first;
  }
  for (const result of underWay) yield await result;
}

/** Lists of `size` items, the last one shorter. */
export async function* inBatches<Item>(
  items: AsyncIterable<Item>,
  size: number,
): AsyncGenerator<Item[], void, undefined> {
  let batch: Item[] = [];
  for await (const item of items) {
    batch.push(item);
    if (batch.length < size) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}

/** Whether there are at least `count` items, and all of them still to come. */
export async function atLeast<Item>(
  items: AsyncIterable<Item>,
  count: number,
): Promise<{ readonly many: boolean; readonly items: AsyncIterable<Item> }> {
  const iterator = items[Symbol.asyncIterator]();
  const first: Item[] = [];
  while (first.length < count) {
    const next = await iterator.next();
    if (next.done === true) break;
    first.push(next.value);
  }
  async function* again(): AsyncGenerator<Item, void, undefined> {
    try {
      yield* first;
      for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) yield next.value;
    } finally {
      await iterator.return?.();
    }
  }
  return { many: first.length === count, items: again() };
}
