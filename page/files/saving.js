// What is saved: PNG, SVG, COCO, LabelMe, CSV and the zip archive of them all; made here, in the browser.

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

function crc32(bytes) {
  let value = 0xffffffff;
  for (const byte of bytes) value = TABLE[(value ^ byte) & 255] ^ (value >>> 8);
  return (value ^ 0xffffffff) >>> 0;
}

function joined(parts) {
  const result = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    result.set(part, at);
    at += part.length;
  }
  return result;
}

const encoded = (text) => new TextEncoder().encode(text);

/** A mask as gray PNG of 0 and 255. */
export async function png(mask, height, width) {
  const rows = new Uint8Array(height * (width + 1)); // each row begins with 0, no filter
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) rows[y * (width + 1) + x + 1] = mask[y * width + x] * 255;
  }
  const stream = new Blob([rows]).stream().pipeThrough(new CompressionStream("deflate"));
  const packed = new Uint8Array(await new Response(stream).arrayBuffer());
  const chunk = (name, data) => {
    const body = joined([encoded(name), data]);
    const frame = new Uint8Array(12 + data.length);
    const view = new DataView(frame.buffer);
    view.setUint32(0, data.length);
    frame.set(body, 4);
    view.setUint32(8 + data.length, crc32(body));
    return frame;
  };
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header[8] = 8; // bits; the other fields are 0: gray, deflate, no interlacing
  const mark = Uint8Array.of(137, 80, 78, 71, 13, 10, 26, 10);
  return joined([mark, chunk("IHDR", header), chunk("IDAT", packed), chunk("IEND", new Uint8Array())]);
}

/** A zip archive, not compressed, of {name: Uint8Array}. */
export function zip(files) {
  const parts = [];
  const directory = [];
  let offset = 0;
  for (const [name, data] of Object.entries(files)) {
    const title = encoded(name);
    const local = new DataView(new ArrayBuffer(30));
    local.setUint32(0, 0x04034b50, true);
    const entry = new DataView(new ArrayBuffer(46));
    entry.setUint32(0, 0x02014b50, true);
    entry.setUint16(4, 20, true);
    for (const [view, at] of [[local, 4], [entry, 6]]) {
      view.setUint16(at, 20, true); // version
      view.setUint16(at + 2, 0x0800, true); // names in UTF-8
      view.setUint16(at + 8, 0x21, true);
      view.setUint32(at + 10, crc32(data), true);
      view.setUint32(at + 14, data.length, true);
      view.setUint32(at + 18, data.length, true);
      view.setUint16(at + 22, title.length, true);
    }
    entry.setUint32(42, offset, true);
    parts.push(new Uint8Array(local.buffer), title, data);
    directory.push(new Uint8Array(entry.buffer), title);
    offset += 30 + title.length + data.length;
  }
  const list = joined(directory);
  const end = new DataView(new ArrayBuffer(22));
  const count = Object.keys(files).length;
  end.setUint32(0, 0x06054b50, true);
  end.setUint16(8, count, true);
  end.setUint16(10, count, true);
  end.setUint32(12, list.length, true);
  end.setUint32(16, offset, true);
  return new Blob([...parts, list, new Uint8Array(end.buffer)], { type: "application/zip" });
}

/** COCO's compressed run lengths of a mask: runs column by column, five bits a letter. */
export function runLengths(mask, height, width) {
  const counts = [];
  let value = 0;
  let run = 0;
  for (let x = 0; x < width; x++) {
    for (let y = 0; y < height; y++) {
      if (mask[y * width + x] !== value) {
        counts.push(run);
        run = 0;
        value = 1 - value;
      }
      run++;
    }
  }
  counts.push(run);
  let text = "";
  counts.forEach((count, i) => {
    let rest = i > 2 ? count - counts[i - 2] : count;
    for (let more = true; more; ) {
      let letter = rest & 31;
      rest >>= 5;
      more = letter & 16 ? rest !== -1 : rest !== 0;
      if (more) letter |= 32;
      text += String.fromCharCode(letter + 48);
    }
  });
  return { size: [height, width], counts: text };
}

/** COCO of images: [{name, height, width, masks: [{label, mask, measures}]}]. */
export function coco(images, classes) {
  const annotations = [];
  images.forEach((image, i) => {
    image.masks.forEach(({ mask, measures }, k) => {
      if (!measures.area) return;
      annotations.push({
        id: annotations.length + 1,
        image_id: i + 1,
        category_id: k + 1,
        iscrowd: 0,
        area: measures.area,
        bbox: [measures.left, measures.top, measures.box_width, measures.box_height],
        segmentation: runLengths(mask, image.height, image.width),
      });
    });
  });
  return encoded(JSON.stringify({
    images: images.map((image, i) => ({ id: i + 1, file_name: image.name, height: image.height, width: image.width })),
    categories: classes.map((name, k) => ({ id: k + 1, name })),
    annotations,
  }));
}

/** LabelMe of one image: each mask as PNG inside its box, which holds it to the pixel. */
export async function labelMe(image) {
  const shapes = [];
  for (const { label, mask, measures } of image.masks) {
    if (!measures.area) continue;
    const { left, top, box_width: wide, box_height: high } = measures;
    const part = new Uint8Array(wide * high);
    for (let y = 0; y < high; y++) {
      const start = (top + y) * image.width + left;
      part.set(mask.subarray(start, start + wide), y * wide);
    }
    const bytes = await png(part, high, wide);
    let text = "";
    for (const byte of bytes) text += String.fromCharCode(byte);
    shapes.push({
      label,
      points: [[left, top], [left + wide - 1, top + high - 1]],
      group_id: null,
      description: "",
      shape_type: "mask",
      flags: {},
      mask: btoa(text),
    });
  }
  return encoded(JSON.stringify({
    version: "5.4.1",
    flags: {},
    shapes,
    imagePath: image.name,
    imageData: null,
    imageHeight: image.height,
    imageWidth: image.width,
  }, null, 1));
}

export const svgPath = (lines) =>
  lines.map((points) => {
    const corners = [];
    for (let i = 0; i < points.length; i += 2) corners.push(`${points[i]} ${points[i + 1]}`);
    return `M${corners.join("L")}Z`;
  }).join("");

/** Outlines as SVG, along the edges of the pixels: layers [{label, color, lines}]. */
export function svg(height, width, layers) {
  const stroke = Math.max(1, Math.round(Math.max(height, width) / 300));
  const paths = layers.map(({ label, color, lines }) =>
    `<path id="${label}" fill="none" stroke="${color}" stroke-width="${stroke}" d="${svgPath(lines)}"/>`);
  const size = `width="${width}" height="${height}" viewBox="0 0 ${width} ${height}"`;
  return encoded(`<svg xmlns="http://www.w3.org/2000/svg" ${size}>${paths.join("")}</svg>\n`);
}

/** Rows, lists of values, as CSV; text that a spreadsheet would compute gets an apostrophe. */
export function csv(rows) {
  const cell = (value) => {
    if (value === null || value === undefined) return "";
    if (typeof value === "number") return Number.isInteger(value) ? String(value) : value.toFixed(4);
    const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return encoded(rows.map((row) => row.map(cell).join(",")).join("\n") + "\n");
}
