'use strict';

// decode gives the content of an S2 block: Snappy's format, in which a copy with offset 0 repeats the last offset.
// https://github.com/klauspost/compress/tree/master/s2#format-extensions
function decode(src) {
  let size = 0;
  let s = 0;
  for (let shift = 0; ; shift += 7) {
    if (s >= src.length || shift > 28) throw new Error('damaged S2 block');
    const b = src[s++];
    size += (b & 0x7f) * 2 ** shift;
    if (b < 0x80) break;
  }
  if (size > maxSize) throw new Error(`S2 block of ${size} bytes`);
  const dst = Buffer.alloc(size);
  let d = 0;
  let offset = 0;
  while (s < src.length) {
    const tag = src[s++];
    let length = tag >> 2;
    if ((tag & 3) === 0) { // a literal
      if (length >= 60) {
        const bytes = length - 59;
        if (s + bytes > src.length) throw new Error('damaged S2 block');
        length = src.readUIntLE(s, bytes);
        s += bytes;
      }
      length++;
      if (s + length > src.length || d + length > size) throw new Error('damaged S2 block');
      src.copy(dst, d, s, s + length);
      s += length;
      d += length;
      continue;
    }
    const operand = [0, 1, 2, 4][tag & 3];
    if (s + operand > src.length) throw new Error('damaged S2 block');
    if ((tag & 3) === 1) {
      const given = ((tag & 0xe0) << 3) | src[s++];
      length &= 7;
      if (given !== 0) {
        offset = given;
      } else if (length >= 5) { // longer lengths of repeats follow
        const bytes = length - 4;
        if (s + bytes > src.length) throw new Error('damaged S2 block');
        length = src.readUIntLE(s, bytes) + [0, 4, 256, 65536][bytes];
        s += bytes;
      }
      length += 4;
    } else {
      offset = src.readUIntLE(s, operand);
      s += operand;
      length++;
    }
    if (offset === 0 || offset > d || d + length > size) throw new Error('damaged S2 block');
    for (const end = d + length; d < end; d++) dst[d] = dst[d - offset];
  }
  if (d !== size) throw new Error('damaged S2 block');
  return dst;
}

// maxSize is more than any message has.
const maxSize = 64 << 20;

module.exports = { decode };
