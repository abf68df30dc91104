/** Writes tar archives, right and wrong ones, from the format's description. Shares nothing with the reader under test. */

export interface Entry {
  readonly name: string;
  readonly data?: Uint8Array | string;
  /** "0" a file, "5" a folder, "2" a symbolic link, "x" a pax header, … */
  readonly type?: string;
  readonly link?: string;
  /** What the size field says, where that is not the data's length. */
  readonly size?: number;
  /** The size in binary, as GNU writes large ones. */
  readonly binarySize?: boolean;
  /** POSIX puts long names into the prefix; GNU and V7 have none. */
  readonly magic?: "posix" | "gnu" | "v7";
}

const BLOCK = 512;
const bytesOf = (data: Uint8Array | string): Buffer => Buffer.from(data);

export function header(entry: Entry): Buffer {
  const { type = "0", link = "", magic = "posix" } = entry;
  const block = Buffer.alloc(BLOCK);
  const [prefix, name] = magic === "posix" ? splitName(entry.name) : ["", entry.name];
  block.write(name, 0, 100);
  block.write("0000644\0", 100);
  const size = entry.size ?? bytesOf(entry.data ?? "").length;
  if (entry.binarySize === true) {
    block[124] = 0x80;
    block.writeUIntBE(size, 130, 6);
  } else block.write(`${size.toString(8).padStart(11, "0")}\0`, 124);
  block.write("00000000000\0", 136);
  block.write(type, 156);
  block.write(link, 157, 100);
  block.write({ posix: "ustar\x0000", gnu: "ustar  \0", v7: "" }[magic], 257);
  block.write(prefix, 345, 155);
  return seal(block);
}

/** Gives a header the checksum its bytes have. */
export function seal(block: Buffer): Buffer {
  block.fill(" ", 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return block;
}

function splitName(name: string): [prefix: string, name: string] {
  if (bytesOf(name).length <= 100) return ["", name];
  const slash = name.indexOf("/", name.length - 101);
  return [name.slice(0, slash), name.slice(slash + 1)];
}

/** Header and padded data. */
export function member(entry: Entry): Buffer {
  const data = bytesOf(entry.data ?? "");
  return Buffer.concat([header(entry), data, Buffer.alloc(-data.length & (BLOCK - 1))]);
}

/** Pax records as a member of type "x", or "g" for all that follow. */
export function pax(records: Readonly<Record<string, string>>, type: "x" | "g" = "x"): Buffer {
  const lines = Object.entries(records).map(([key, value]) => {
    const rest = bytesOf(` ${key}=${value}\n`).length;
    let length = rest;
    while (rest + String(length).length !== length) length = rest + String(length).length;
    return `${length} ${key}=${value}\n`;
  });
  return member({ name: "pax", type, data: lines.join("") });
}

/** GNU's header for a name, or a link's target, that is too long for its field. */
export function longName(name: string, type: "L" | "K" = "L"): Buffer {
  return member({ name: "././@LongLink", type, data: `${name}\0`, magic: "gnu" });
}

/** A file of any name. */
export function file(name: string, data: Uint8Array | string): Buffer {
  if (bytesOf(name).length <= 100) return member({ name, data });
  return Buffer.concat([pax({ path: name }), member({ name: "long", data })]);
}

/** The members and two blocks of zeros. */
export const archive = (...members: readonly Uint8Array[]): Buffer =>
  Buffer.concat([...members, Buffer.alloc(2 * BLOCK)]);
