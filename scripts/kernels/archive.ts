/** One file, folder or symbolic link of an archive. */
export interface ArchiveEntry {
  /** From the root, without a slash at either end. */
  readonly path: string;
  readonly kind: 'file' | 'folder' | 'link';
  /** Permission bits; those of a link mean nothing. */
  readonly mode: number;
  /** A file's bytes, or where a link points; empty for a folder. */
  readonly data: Uint8Array;
}

const TYPE_BITS: Readonly<Record<ArchiveEntry['kind'], number>> = {
  file: 0o100000,
  folder: 0o040000,
  link: 0o120000,
};

/**
 * A cpio archive of the "newc" kind, the one that the kernel unpacks as its first root file system; in pieces, to be
 * written one after the other. Everything belongs to root; a folder comes before what is in it, whether listed or not.
 *
 * The format: Documentation/driver-api/early-userspace/buffer-format.rst of the kernel.
 */
export function* cpio(entries: Iterable<ArchiveEntry>): Generator<Uint8Array> {
  const folders = new Set<string>();
  let inode = 1;
  for (const entry of entries) {
    for (let at = entry.path.indexOf('/'); at >= 0; at = entry.path.indexOf('/', at + 1)) {
      const path = entry.path.slice(0, at);
      if (folders.has(path)) continue;
      folders.add(path);
      yield* record(inode++, { path, kind: 'folder', mode: 0o755, data: NONE });
    }
    if (entry.kind === 'folder') {
      if (folders.has(entry.path)) continue;
      folders.add(entry.path);
    }
    yield* record(inode++, entry);
  }
  yield* record(0, { path: 'TRAILER!!!', kind: 'file', mode: 0, data: NONE });
}

const NONE = new Uint8Array();

function* record(inode: number, { path, kind, mode, data }: ArchiveEntry): Generator<Uint8Array> {
  const name = Buffer.from(`${path}\0`);
  // c_ino, c_mode, c_uid, c_gid, c_nlink, c_mtime, c_filesize, c_maj, c_min, c_rmaj, c_rmin, c_namesize, c_chksum
  const fields = [inode, TYPE_BITS[kind] | mode, 0, 0, 1, 0, data.length, 0, 0, 0, 0, name.length, 0];
  const header = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`;
  yield Buffer.concat([Buffer.from(header), name, padding(header.length + name.length)]);
  if (data.length === 0) return;
  yield data;
  yield padding(data.length);
}

/** Zeros up to the next multiple of four. */
function padding(length: number): Uint8Array {
  return new Uint8Array(-length & 3);
}
