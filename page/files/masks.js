// Masks of an image from the probabilities of the network, and what is measured of them: as predict.py has it.
// A mask is a Uint8Array of {0, 1}, row by row, of an image of `height` × `width` pixels.

/** Source positions and weights of a bilinear resize along one axis, as OpenCV's: [lower, upper, weight of upper]. */
function axis(from, to) {
  const lower = new Int32Array(to);
  const upper = new Int32Array(to);
  const weight = new Float32Array(to);
  const scale = from / to;
  for (let i = 0; i < to; i++) {
    const position = (i + 0.5) * scale - 0.5;
    const whole = Math.floor(position);
    lower[i] = Math.min(Math.max(whole, 0), from - 1);
    upper[i] = Math.min(Math.max(whole + 1, 0), from - 1);
    weight[i] = whole < 0 || whole >= from - 1 ? 0 : position - whole;
  }
  return [lower, upper, weight];
}

/** Calls row(y, Float32Array (width,)) with the probabilities of class k at the image's size, row after row. */
export function enlarge(map, [mapHeight, mapWidth, classes], k, height, width, row) {
  const [left, right, across] = axis(mapWidth, width);
  const [above, below, down] = axis(mapHeight, height);
  const wide = [];
  for (let y = 0; y < mapHeight; y++) {
    const line = new Float32Array(width);
    for (let x = 0; x < width; x++) {
      const a = map[(y * mapWidth + left[x]) * classes + k];
      const b = map[(y * mapWidth + right[x]) * classes + k];
      line[x] = Math.fround(a * Math.fround(1 - across[x])) + Math.fround(b * across[x]);
    }
    wide.push(line);
  }
  const line = new Float32Array(width);
  for (let y = 0; y < height; y++) {
    const a = wide[above[y]];
    const b = wide[below[y]];
    const weight = down[y];
    const rest = Math.fround(1 - weight);
    for (let x = 0; x < width; x++) line[x] = a[x] * rest + b[x] * weight;
    row(y, line);
  }
}

/** The mask of class k: probabilities of at least `threshold`. */
export function threshold(map, mapSize, k, height, width, value) {
  const mask = new Uint8Array(height * width);
  const least = Math.fround(value);
  enlarge(map, mapSize, k, height, width, (y, line) => {
    const start = y * width;
    for (let x = 0; x < width; x++) mask[start + x] = line[x] >= least ? 1 : 0;
  });
  return mask;
}

/** The smallest upright box around a mask, {left, top, width, height}; null where it is empty. */
export function box(mask, height, width) {
  let top = -1;
  let bottom = -1;
  let left = width;
  let right = -1;
  for (let y = 0; y < height; y++) {
    const first = mask.indexOf(1, y * width);
    if (first < 0) break;
    y = Math.floor(first / width);
    const end = (y + 1) * width;
    if (top < 0) top = y;
    bottom = y;
    left = Math.min(left, first - y * width);
    right = Math.max(right, mask.lastIndexOf(1, end - 1) - y * width);
  }
  return top < 0 ? null : { left, top, width: right - left + 1, height: bottom - top + 1 };
}

/** The part of a mask inside its box, with a border of one empty pixel, all holes filled: {pixels, wide, high}. */
function filled(mask, width, bounds) {
  const wide = bounds.width + 2;
  const high = bounds.height + 2;
  const pixels = new Uint8Array(wide * high); // 0 unknown, 1 mask, 2 outside
  for (let y = 0; y < bounds.height; y++) {
    const start = (bounds.top + y) * width + bounds.left;
    pixels.set(mask.subarray(start, start + bounds.width), (y + 1) * wide + 1);
  }
  const stack = [0];
  pixels[0] = 2;
  const visit = (at) => {
    if (pixels[at] === 0) {
      pixels[at] = 2;
      stack.push(at);
    }
  };
  while (stack.length) {
    const at = stack.pop();
    const x = at % wide;
    if (x > 0) visit(at - 1);
    if (x < wide - 1) visit(at + 1);
    if (at >= wide) visit(at - wide);
    if (at < wide * (high - 1)) visit(at + wide);
  }
  for (let at = 0; at < pixels.length; at++) pixels[at] = pixels[at] === 2 ? 0 : 1;
  return { pixels, wide, high };
}

/** Outer outlines through the centers of a mask's border pixels, as cv2.findContours: [[x, y, x, y, …], …]. */
export function outlines(mask, height, width) {
  const bounds = box(mask, height, width);
  if (!bounds) return [];
  const { pixels, wide } = filled(mask, width, bounds);
  const steps = [1, 1 + wide, wide, wide - 1, -1, -1 - wide, -wide, 1 - wide]; // clockwise from the right
  const marked = new Uint8Array(pixels.length);
  const found = [];
  for (let start = wide; start < pixels.length; start++) {
    if (!pixels[start] || pixels[start - 1] || marked[start]) continue;
    const points = [];
    const add = (at) => {
      marked[at] = 1;
      points.push((at % wide) - 1 + bounds.left, Math.floor(at / wide) - 1 + bounds.top);
    };
    // The pixel itself is the first of its row: the walk keeps the outside at its left hand.
    let at = start;
    let from = 4; // direction in which the last empty neighbor lies
    let second = -1;
    for (;;) {
      let turn = 1;
      while (turn <= 8 && !pixels[at + steps[(from + turn) % 8]]) turn++;
      if (turn > 8) {
        add(at); // a single pixel
        break;
      }
      const direction = (from + turn) % 8;
      const next = at + steps[direction];
      if (at === start && second === next) break;
      if (second < 0) second = next;
      add(at);
      at = next;
      from = (direction + 4) % 8; // back to where it came from; the search goes on clockwise behind it
    }
    found.push(points);
  }
  return found;
}

function enclosed(points) {
  let twice = 0;
  for (let i = 0; i < points.length; i += 2) {
    const j = (i + 2) % points.length;
    twice += points[i] * points[j + 1] - points[j] * points[i + 1];
  }
  return Math.abs(twice) / 2;
}

function length(points) {
  let total = 0;
  for (let i = 0; i < points.length; i += 2) {
    const j = (i + 2) % points.length;
    total += Math.hypot(points[i] - points[j], points[i + 1] - points[j + 1]);
  }
  return total;
}

/** The largest connected component of a mask, its holes filled. */
export function largest(mask, height, width) {
  const parts = outlines(mask, height, width);
  const result = new Uint8Array(mask.length);
  if (!parts.length) return result;
  const size = (points) => enclosed(points) + points.length / 4;
  const best = parts.reduce((a, b) => (size(b) > size(a) ? b : a));
  const bounds = box(mask, height, width);
  const { pixels, wide } = filled(mask, width, bounds);
  const first = (best[1] - bounds.top + 1) * wide + best[0] - bounds.left + 1;
  const stack = [first];
  pixels[first] = 3;
  while (stack.length) {
    const at = stack.pop();
    for (const step of [1, 1 + wide, wide, wide - 1, -1, -1 - wide, -wide, 1 - wide]) {
      if (pixels[at + step] === 1) {
        pixels[at + step] = 3;
        stack.push(at + step);
      }
    }
  }
  for (let y = 0; y < bounds.height; y++) {
    for (let x = 0; x < bounds.width; x++) {
      if (pixels[(y + 1) * wide + x + 1] === 3) result[(y + bounds.top) * width + x + bounds.left] = 1;
    }
  }
  return result;
}

/** All borders of a mask along the edges of its pixels, holes too: closed lines [[x, y, …], …], corners alone. */
export function edges(mask, height, width) {
  const bounds = box(mask, height, width);
  if (!bounds) return [];
  const inside = (x, y) => x >= 0 && y >= 0 && x < width && y < height && mask[y * width + x] === 1;
  const wide = bounds.width + 1;
  const used = new Uint8Array(wide * (bounds.height + 1)); // edges along the top of a pixel, walked to the right
  const found = [];
  const DX = [1, 0, -1, 0];
  const DY = [0, 1, 0, -1];
  // Pixels at the right and left hand, ahead of a corner, for the directions right, down, left and up.
  const RIGHT = [[0, 0], [-1, 0], [-1, -1], [0, -1]];
  const LEFT = [[0, -1], [0, 0], [-1, 0], [-1, -1]];
  for (let y0 = bounds.top; y0 < bounds.top + bounds.height; y0++) {
    for (let x0 = bounds.left; x0 < bounds.left + bounds.width; x0++) {
      if (!inside(x0, y0) || inside(x0, y0 - 1) || used[(y0 - bounds.top) * wide + x0 - bounds.left]) continue;
      const points = [];
      let x = x0;
      let y = y0;
      let direction = 0;
      let last = -1;
      do {
        if (direction !== last) points.push(x, y);
        if (direction === 0) used[(y - bounds.top) * wide + x - bounds.left] = 1;
        last = direction;
        x += DX[direction];
        y += DY[direction];
        const right = inside(x + RIGHT[direction][0], y + RIGHT[direction][1]);
        const left = inside(x + LEFT[direction][0], y + LEFT[direction][1]);
        if (left) direction = (direction + 3) % 4; // corners that touch belong together
        else if (!right) direction = (direction + 1) % 4;
      } while (x !== x0 || y !== y0 || direction !== 0);
      found.push(points);
    }
  }
  return found;
}

/** Fraction of a mask's area that folding about both axes of its moments leaves alone, as imaging/mask_shape.py. */
function asymmetry(mask, width, bounds) {
  const scale = Math.min(1, 256 / Math.max(bounds.height, bounds.width));
  const wide = Math.max(1, Math.round(bounds.width * scale));
  const high = Math.max(1, Math.round(bounds.height * scale));
  const part = new Uint8Array(bounds.width * bounds.height);
  for (let y = 0; y < bounds.height; y++) {
    const start = (bounds.top + y) * width + bounds.left;
    part.set(mask.subarray(start, start + bounds.width), y * bounds.width);
  }
  const small = areas(part, bounds.height, bounds.width, 1, high, wide);
  let area = 0;
  let sumX = 0;
  let sumY = 0;
  for (let y = 0, i = 0; y < high; y++) {
    for (let x = 0; x < wide; x++, i++) {
      area += small[i];
      sumX += x * small[i];
      sumY += y * small[i];
    }
  }
  const centerX = sumX / area;
  const centerY = sumY / area;
  let xx = 0;
  let yy = 0;
  let xy = 0;
  for (let y = 0, i = 0; y < high; y++) {
    for (let x = 0; x < wide; x++, i++) {
      xx += (x - centerX) ** 2 * small[i];
      yy += (y - centerY) ** 2 * small[i];
      xy += (x - centerX) * (y - centerY) * small[i];
    }
  }
  const angle = Math.atan2(2 * xy, xx - yy) / 2;
  const at = (x, y) => (x < 0 || y < 0 || x >= wide || y >= high ? 0 : small[y * wide + x]);
  let alone = 0;
  for (const fold of [angle, angle + Math.PI / 2]) {
    const cosine = Math.cos(2 * fold);
    const sine = Math.sin(2 * fold);
    let common = 0;
    for (let y = 0, i = 0; y < high; y++) {
      for (let x = 0; x < wide; x++, i++) {
        const sourceX = centerX + cosine * (x - centerX) + sine * (y - centerY);
        const sourceY = centerY + sine * (x - centerX) - cosine * (y - centerY);
        const left = Math.floor(sourceX);
        const top = Math.floor(sourceY);
        const a = sourceX - left;
        const b = sourceY - top;
        const mirrored = (at(left, top) * (1 - a) + at(left + 1, top) * a) * (1 - b)
          + (at(left, top + 1) * (1 - a) + at(left + 1, top + 1) * a) * b;
        common += Math.min(small[i], mirrored);
      }
    }
    alone += 1 - common / area;
  }
  return alone / 2;
}

/** Pixels, uint8 (height, width, channels), at another size, bilinear: Uint8Array (high, wide, channels).
 * In whole numbers as OpenCV's vector code has them: weights of 11 bits, four bits dropped between the two passes. */
export function stretched(pixels, height, width, channels, high, wide) {
  const [left, right, across] = axis(width, wide);
  const [above, below, down] = axis(height, high);
  const bits = (weight) => Math.round(weight * 2048);
  const result = new Uint8Array(high * wide * channels);
  let at = 0;
  for (let y = 0; y < high; y++) {
    const parts = [[above[y], bits(1 - down[y])], [below[y], bits(down[y])]];
    for (let x = 0; x < wide; x++) {
      const [a, b] = [bits(1 - across[x]), bits(across[x])];
      for (let c = 0; c < channels; c++) {
        let sum = 2;
        for (const [row, weight] of parts) {
          const start = row * width * channels + c;
          const line = pixels[start + left[x] * channels] * a + pixels[start + right[x] * channels] * b;
          sum += (weight * (line >> 4)) >> 16;
        }
        result[at++] = sum >> 2;
      }
    }
  }
  return result;
}

/** The mean of areas, as OpenCV's INTER_AREA: an array (height, width, channels) at a smaller size, Float32Array. */
export function areas(pixels, height, width, channels, high, wide) {
  const parts = (from, to) => {
    const list = [];
    const scale = from / to;
    for (let i = 0; i < to; i++) {
      const start = i * scale;
      const end = Math.min((i + 1) * scale, from);
      const weights = [];
      for (let at = Math.floor(start + 1e-9); at < end - 1e-9; at++) {
        weights.push([at, (Math.min(at + 1, end) - Math.max(at, start)) / (end - start)]);
      }
      list.push(weights);
    }
    return list;
  };
  const across = parts(width, wide);
  const down = parts(height, high);
  const result = new Float32Array(high * wide * channels);
  const line = new Float64Array(width * channels);
  for (let y = 0; y < high; y++) {
    line.fill(0);
    for (const [row, weight] of down[y]) {
      const start = row * width * channels;
      for (let i = 0; i < line.length; i++) line[i] += pixels[start + i] * weight;
    }
    for (let x = 0; x < wide; x++) {
      for (const [column, weight] of across[x]) {
        for (let c = 0; c < channels; c++) {
          result[(y * wide + x) * channels + c] += line[column * channels + c] * weight;
        }
      }
    }
  }
  return result;
}

/** A probability whose logit is divided by a temperature; what is next to 0 or 1 counts as 2⁻²⁴ from it. */
export function calibrated(p, temperature) {
  if (temperature === 1) return p;
  const held = Math.min(1 - 2 ** -24, Math.max(2 ** -24, p));
  return 1 / (1 + ((1 - held) / held) ** (1 / temperature));
}

/** What predictions.csv says of a mask: {area, area_percent, …}; null where it is not defined. */
export function measure(mask, height, width, map, mapSize, k, temperature) {
  const bounds = box(mask, height, width);
  let area = 0;
  for (let i = 0; i < mask.length; i++) area += mask[i];
  const nothing = { left: null, top: null, box_width: null, box_height: null };
  const undefinedShape = { asymmetry: null, border_irregularity: null, mean_confidence: null };
  if (!bounds) return { area: 0, area_percent: 0, ...nothing, components: 0, perimeter: 0, ...undefinedShape };
  const parts = outlines(mask, height, width);
  const perimeter = ((Math.PI * (1 + Math.SQRT2)) / 8) * parts.reduce((sum, points) => sum + length(points), 0);
  const inside = parts.reduce((sum, points) => sum + enclosed(points), 0);
  let confidence = 0;
  enlarge(map, mapSize, k, height, width, (y, line) => {
    for (let x = bounds.left; x < bounds.left + bounds.width; x++) {
      if (mask[y * width + x]) confidence += calibrated(line[x], temperature);
    }
  });
  return {
    area,
    area_percent: (100 * area) / mask.length,
    left: bounds.left,
    top: bounds.top,
    box_width: bounds.width,
    box_height: bounds.height,
    components: parts.length,
    perimeter,
    asymmetry: asymmetry(mask, width, bounds),
    border_irregularity: inside ? perimeter ** 2 / (4 * Math.PI * inside) : null,
    mean_confidence: confidence / area,
  };
}

/** Set the pixels of a mask within `radius` of the line from (x0, y0) to (x1, y1) to `value`. */
export function stroke(mask, height, width, [x0, y0], [x1, y1], radius, value) {
  const left = Math.max(0, Math.floor(Math.min(x0, x1) - radius));
  const right = Math.min(width - 1, Math.ceil(Math.max(x0, x1) + radius));
  const top = Math.max(0, Math.floor(Math.min(y0, y1) - radius));
  const bottom = Math.min(height - 1, Math.ceil(Math.max(y0, y1) + radius));
  const dx = x1 - x0;
  const dy = y1 - y0;
  const squared = dx * dx + dy * dy;
  for (let y = top; y <= bottom; y++) {
    for (let x = left; x <= right; x++) {
      const along = squared ? Math.min(1, Math.max(0, ((x + 0.5 - x0) * dx + (y + 0.5 - y0) * dy) / squared)) : 0;
      const distance = (x + 0.5 - x0 - along * dx) ** 2 + (y + 0.5 - y0 - along * dy) ** 2;
      if (distance <= radius * radius) mask[y * width + x] = value;
    }
  }
}
