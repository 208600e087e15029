// How far a mask can be trusted, computed by this browser: as inference/quality.py, inference/image_range.py and
// imaging/image_statistics.py have it. What it takes is in about.json: {models, limits, words} of `trust`.

// === Predicted Jaccard ===

const MOST = 3; // of a standardized feature

/** The Jaccard that a model expects of class k's mask. maps: of the image as it is and, last, what masks are made of. */
export function predictedJaccard(model, maps, [height, width, classes], k, threshold) {
  const [bare, last] = [maps[0], maps.at(-1)].map((map) => map.filter((_, i) => i % classes === k));
  const least = Math.fround(threshold);
  const mask = last.map((p) => (p >= least ? 1 : 0));
  const at = (level) => last.map((p) => (p >= level ? 1 : 0));
  const area = mask.reduce((sum, p) => sum + p, 0);
  const ring = outlineRing(mask, height, width);
  const values = {
    disagreement: 1 - softJaccard(bare, last),
    vagueness: 1 - softJaccard(last, mask),
    threshold_effect: 1 - softJaccard(at(threshold / 2), at((1 + threshold) / 2)),
    outline_entropy: ring.length ? mean(ring.map((i) => entropy(last[i]))) : 1,
    log_area: Math.log10(Math.max(area, 1) / mask.length),
    components: Math.log2(Math.max(components(mask, height, width), 1)),
    border: mean(border(height, width).map((i) => mask[i])),
  };
  let found = model.intercept;
  model.names.forEach((name, i) => {
    const standard = (values[name] - model.means[i]) / model.scales[i];
    found += model.weights[i] * Math.min(MOST, Math.max(-MOST, standard));
  });
  return Math.min(1, Math.max(0, found));
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

function softJaccard(a, b) {
  let both = 0;
  let any = 0;
  for (let i = 0; i < a.length; i++) {
    both += Math.min(a[i], b[i]);
    any += Math.max(a[i], b[i]);
  }
  return any ? both / any : 1;
}

function entropy(probability) {
  const p = Math.min(Math.max(probability, 1e-6), 1 - 1e-6);
  return -(p * Math.log2(p) + (1 - p) * Math.log2(1 - p));
}

/** The pixels within two of a mask's outline. */
function outlineRing(mask, height, width) {
  const found = [];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      let some = false;
      let all = true;
      for (let dy = -2; dy <= 2; dy++) {
        const reach = Math.abs(dy) === 2 ? 0 : 2; // OpenCV's ellipse of 5 × 5
        for (let dx = -reach; dx <= reach; dx++) {
          if (y + dy < 0 || y + dy >= height || x + dx < 0 || x + dx >= width) continue;
          const inside = mask[(y + dy) * width + x + dx] === 1;
          some ||= inside;
          all &&= inside;
        }
      }
      if (some && !all) found.push(y * width + x);
    }
  }
  return found;
}

/** The number of parts of a mask, which touch nowhere, not at corners either. */
function components(mask, height, width) {
  const left = Uint8Array.from(mask);
  let count = 0;
  for (let start = 0; start < left.length; start++) {
    if (!left[start]) continue;
    count++;
    left[start] = 0;
    for (const stack = [start]; stack.length; ) {
      const at = stack.pop();
      const x = at % width;
      for (let row = Math.max(0, Math.floor(at / width) - 1); row <= Math.min(height - 1, Math.floor(at / width) + 1); row++) {
        for (let column = Math.max(0, x - 1); column <= Math.min(width - 1, x + 1); column++) {
          const next = row * width + column;
          if (!left[next]) continue;
          left[next] = 0;
          stack.push(next);
        }
      }
    }
  }
  return count;
}

function border(height, width) {
  const found = [];
  for (let x = 0; x < width; x++) found.push(x, (height - 1) * width + x);
  for (let y = 1; y < height - 1; y++) found.push(y * width, y * width + width - 1);
  return found;
}

// === Unusual images ===

/** Why an image is unusual. pixels: RGB, uint8, of the network's size; fractions: of it that each class's mask takes;
 * jaccards: expected of each, undefined where it is not known. */
export function reasons({ limits, models, words }, pixels, height, width, fractions, jaccards) {
  const found = limits.ranges ? outside(limits, words, pixels, height, width, fractions) : [];
  const unclear = models.some((model, k) => jaccards[k] < model?.least);
  return unclear ? [...found, words.unclear] : found;
}

/** Why an image is unlike the training images. */
function outside(limits, words, pixels, height, width, fractions) {
  const values = statistics(pixels, height, width);
  const side = (name, value, [lowest, highest]) =>
    value < lowest ? words.below[name] : value > highest ? words.above[name] : null;
  const found = Object.keys(limits.ranges).map((name) => side(name, values[words.names.indexOf(name)], limits.ranges[name]));
  if (!found.some(Boolean) && distance(limits, values, words.deviates) > limits.distance) found.push(words.together);
  if (limits.areas.length) found.push(fractions[0] === 0 ? words.noMask : side("area", fractions[0], limits.areas));
  return found.filter(Boolean);
}

/** Squared distance of statistics from those of the training images, once each is a standard normal deviate. */
function distance({ quantiles, whitening }, values, deviates) {
  const normal = values.map((value, k) => deviate(quantiles[k], value, deviates));
  return whitening.reduce((sum, row) => sum + row.reduce((part, weight, i) => part + weight * normal[i], 0) ** 2, 0);
}

function deviate(known, value, deviates) {
  const last = known.length - 1;
  for (const [end, inner, outside] of [[0, 4, value < known[0]], [last, last - 4, value > known[last]]]) {
    const slope = (deviates[end] - deviates[inner]) / (known[end] - known[inner]);
    if (outside) return deviates[end] + slope * (value - known[end]);
  }
  let i = 0;
  while (i < last - 1 && value > known[i + 1]) i++;
  return deviates[i] + ((deviates[i + 1] - deviates[i]) * (value - known[i])) / (known[i + 1] - known[i]);
}

const BANDS = 4;

/** The numbers of imaging/image_statistics.py, in its order. */
export function statistics(pixels, height, width) {
  const lab = cielab(pixels);
  const [lightness, red, yellow] = lab;
  const count = lightness.length;
  const chroma = lightness.map((_, i) => Math.hypot(red[i], yellow[i]));
  const [fine, coarse] = [1, 2].map((deviation) => blur(lightness, height, width, deviation));
  const fraction = (test) => lightness.reduce((sum, _, i) => sum + (test(i) ? 1 : 0), 0) / count;
  const energy = (a, b) => a.reduce((sum, value, i) => sum + (value - b[i]) ** 2, 0) / count;
  const named = [
    average(lightness),
    fraction((i) => red[i] > 0 && yellow[i] > 0 && chroma[i] > 5),
    percentile(chroma, 0.98),
    Math.log(spread(yellow) + 0.1),
    Math.log(thirdVariance(pixels, height, width) + 1e-6),
    Math.log((energy(lightness, fine) + 1e-4) / (energy(fine, coarse) + 1e-4)),
    Math.log(average(gradient(coarse, height, width)) / (spread(lightness) + 1) + 0.01),
    fraction((i) => lightness[i] > 10),
  ];
  return [...named, ...texture(lab, height, width)];
}

const average = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

function spread(values) {
  const center = average(values);
  return Math.sqrt(values.reduce((sum, value) => sum + (value - center) ** 2, 0) / values.length);
}

function percentile(values, fraction) {
  const sorted = Float64Array.from(values).sort();
  const place = fraction * (sorted.length - 1);
  const below = Math.floor(place);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (place - below) * (sorted[above] - sorted[below]);
}

function texture(lab, height, width) {
  const found = [...lab.map(average), ...lab.map((channel) => Math.log(spread(channel) + 0.1))];
  for (let band = 0; band < BANDS; band++) {
    const smooth = lab.map((channel) => blur(channel, height, width, 1));
    const rest = lab.map((channel, c) => {
      const difference = channel.map((value, i) => value - smooth[c][i]);
      const center = average(difference);
      return difference.map((value) => value - center);
    });
    const covariance = (a, b) => rest[a].reduce((sum, value, i) => sum + value * rest[b][i], 0) / rest[a].length;
    const energy = [0, 1, 2].map((c) => covariance(c, c));
    const fourth = rest[0].reduce((sum, value) => sum + value ** 4, 0) / rest[0].length;
    const correlation = (a, b) => covariance(a, b) / Math.sqrt((energy[a] + 1e-3) * (energy[b] + 1e-3));
    found.push(...energy.map((value) => Math.log(value + 1e-4)), Math.log(fourth / (energy[0] ** 2 + 1e-12) + 1e-3));
    found.push(...[[0, 1], [0, 2], [1, 2]].map(([a, b]) => Math.atanh(0.999 * correlation(a, b))));
    lab = smooth.map((channel) => halved(channel, height, width));
    [height, width] = [Math.ceil(height / 2), Math.ceil(width / 2)];
  }
  return found;
}

/** Every second row and column. */
function halved(channel, height, width) {
  const result = [];
  for (let y = 0; y < height; y += 2) {
    for (let x = 0; x < width; x += 2) result.push(channel[y * width + x]);
  }
  return Float64Array.from(result);
}

/** CIELAB of RGB, three Float64Arrays. */
function cielab(pixels) {
  const linear = Float64Array.from({ length: 256 }, (_, value) => {
    const v = value / 255;
    return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  });
  const root = (t) => (t > 0.008856 ? Math.cbrt(t) : 7.787 * t + 16 / 116);
  const count = pixels.length / 3;
  const [lightness, red, yellow] = [0, 1, 2].map(() => new Float64Array(count));
  for (let i = 0; i < count; i++) {
    const [r, g, b] = [0, 1, 2].map((c) => linear[pixels[3 * i + c]]);
    const x = root((0.412453 * r + 0.35758 * g + 0.180423 * b) / 0.950456);
    const luminance = 0.212671 * r + 0.71516 * g + 0.072169 * b;
    const y = root(luminance);
    const z = root((0.019334 * r + 0.119193 * g + 0.950227 * b) / 1.088754);
    lightness[i] = luminance > 0.008856 ? 116 * y - 16 : 903.3 * luminance;
    red[i] = 500 * (x - y);
    yellow[i] = 200 * (y - z);
  }
  return [lightness, red, yellow];
}

/** Positions beyond the border, mirrored about the outermost pixel. */
function mirrored(at, length) {
  if (length === 1) return 0;
  while (at < 0 || at >= length) at = at < 0 ? -at : 2 * (length - 1) - at;
  return at;
}

/** A Gaussian blur, as OpenCV's of floats. */
function blur(channel, height, width, deviation) {
  const radius = Math.floor((Math.round(deviation * 8 + 1) | 1) / 2);
  const weights = Array.from({ length: 2 * radius + 1 }, (_, i) => Math.exp(-((i - radius) ** 2) / (2 * deviation ** 2)));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return along(along(channel, width, 1, height, width), height, width, width, 1);

  /** Lines of `length` pixels, `step` apart, each `next` after the one before. */
  function along(source, length, step, lines, next) {
    const result = new Float64Array(source.length);
    for (let line = 0; line < lines; line++) {
      for (let at = 0; at < length; at++) {
        let sum = 0;
        for (let i = -radius; i <= radius; i++) {
          sum += weights[i + radius] * source[line * next + step * mirrored(at + i, length)];
        }
        result[line * next + step * at] = sum / total;
      }
    }
    return result;
  }
}

/** Lengths of the gradient, by Sobel's operator of 3 × 3. */
function gradient(channel, height, width) {
  return channel.map((_, i) => {
    const y = Math.floor(i / width);
    const x = i % width;
    const value = (dy, dx) => channel[mirrored(y + dy, height) * width + mirrored(x + dx, width)];
    const across = [-1, 0, 1].map((d) => (d ? 1 : 2) * (value(d, 1) - value(d, -1)));
    const down = [-1, 0, 1].map((d) => (d ? 1 : 2) * (value(1, d) - value(-1, d)));
    return Math.hypot(across[0] + across[1] + across[2], down[0] + down[1] + down[2]);
  });
}

/** The least of the variances of the optical densities along their principal axes. */
function thirdVariance(pixels, height, width) {
  const densities = [0, 1, 2].map((c) => {
    const channel = Float64Array.from({ length: height * width }, (_, i) => pixels[3 * i + c]);
    const smooth = blur(channel, height, width, 1).map((value) => -Math.log(Math.max(value, 3) / 255));
    const center = average(smooth);
    return smooth.map((value) => value - center);
  });
  const count = height * width;
  const at = (a, b) => densities[a].reduce((sum, value, i) => sum + value * densities[b][i], 0) / count;
  return Math.max(0, leastEigenvalue(at(0, 0), at(1, 1), at(2, 2), at(0, 1), at(0, 2), at(1, 2)));
}

/** Of a symmetric 3 × 3 matrix, by the trigonometric solution of its characteristic equation. */
function leastEigenvalue(xx, yy, zz, xy, xz, yz) {
  const center = (xx + yy + zz) / 3;
  const off = xy ** 2 + xz ** 2 + yz ** 2;
  const scale = Math.sqrt(((xx - center) ** 2 + (yy - center) ** 2 + (zz - center) ** 2 + 2 * off) / 6);
  if (scale === 0) return center;
  const [a, b, c] = [xx, yy, zz].map((value) => (value - center) / scale);
  const [d, e, f] = [xy, xz, yz].map((value) => value / scale);
  const determinant = a * b * c + 2 * d * e * f - a * f * f - b * e * e - c * d * d;
  const angle = Math.acos(Math.min(1, Math.max(-1, determinant / 2))) / 3;
  return center + 2 * scale * Math.cos(angle + (2 * Math.PI) / 3);
}
