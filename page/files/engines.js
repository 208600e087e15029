// Who computes the probabilities: the local server, or this browser. Both have
//   predict(file, bitmap) → {height, width, map: Float32Array, mapSize: [h, w, classes], further: [{…} a class],
//     unusual: reasons why the image is unlike the training images}
//   picture(file) → ImageBitmap, upright

import { areas, stretched } from "./masks.js";
import { predictedJaccard, reasons } from "./trust.js";

export async function open() {
  const about = await (await fetch("about.json")).json();
  return about.engine === "browser" ? inBrowser(about) : onServer(about);
}

// === The local server ===

function onServer(about) {
  async function post(path, file) {
    for (let attempt = 0; ; attempt++) {
      let answer;
      try {
        answer = await fetch(`${path}${path.includes("?") ? "&" : "?"}name=${encodeURIComponent(file.name)}`, {
          method: "POST",
          body: file,
        });
      } catch {
        throw new Error("The program does not answer. Is it still running? Start it again: python serve.py");
      }
      if (answer.ok) return answer;
      if (answer.status === 503 && attempt < 30) {
        await new Promise((resolve) => setTimeout(resolve, 1000));
        continue;
      }
      const told = await answer.json().catch(() => ({}));
      throw new Error(told.error || `The program answered with error ${answer.status}.`);
    }
  }

  return {
    about,
    async predict(file) {
      const answer = await (await post("predict?format=map", file)).json();
      const bytes = Uint8Array.from(atob(answer.map), (letter) => letter.charCodeAt(0));
      const map = new Float32Array(bytes.buffer);
      const further = answer.masks.map((each) => each.measures);
      const { height, width, unusual } = answer;
      return { height, width, map, mapSize: answer.map_size, further, unusual };
    },
    async picture(file) {
      try {
        return await createImageBitmap(file);
      } catch {
        return createImageBitmap(await (await post("picture", file)).blob()); // TIFF, for one
      }
    },
  };
}

// === This browser ===

async function inBrowser(about) {
  const ort = await import("./ort.js");
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = await (await fetch("ort.wasm")).arrayBuffer();
  const model = new Uint8Array(await (await fetch("model.onnx")).arrayBuffer());
  const session = await ort.InferenceSession.create(model, { executionProviders: ["wasm"], logSeverityLevel: 3 });
  const [high, wide] = about.size;
  const classes = about.classes.length;

  async function run(pixels) {
    const input = new ort.Tensor("uint8", pixels, [1, high, wide, 3]);
    const output = await session.run({ image: input });
    return output[session.outputNames[0]].data;
  }

  /** The pixels of the network's size, uint8: the mean of areas where the picture is larger, else bilinear. */
  function fitted(bitmap) {
    const { width, height } = bitmap;
    const canvas = new OffscreenCanvas(width, height);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.fillRect(0, 0, width, height); // what is transparent is black
    context.drawImage(bitmap, 0, 0);
    const { data } = context.getImageData(0, 0, width, height);
    const rgb = new Uint8Array((data.length / 4) * 3);
    for (let i = 0, j = 0; i < data.length; i += 4) {
      rgb[j++] = data[i];
      rgb[j++] = data[i + 1];
      rgb[j++] = data[i + 2];
    }
    const shrinks = width >= wide && height >= high;
    if (!shrinks) return stretched(rgb, height, width, 3, high, wide);
    return Uint8Array.from(areas(rgb, height, width, 3, high, wide), Math.round);
  }

  /** (h, w, channels) mirrored along its axes and transposed, or back. */
  function turned(array, channels, [flipY, flipX, transpose], back) {
    const result = new array.constructor(array.length);
    for (let y = 0; y < high; y++) {
      for (let x = 0; x < wide; x++) {
        const mirrored = (flipY ? high - 1 - y : y) * wide + (flipX ? wide - 1 - x : x);
        const target = transpose ? x * wide + y : y * wide + x;
        const [to, from] = back ? [mirrored, target] : [target, mirrored];
        for (let c = 0; c < channels; c++) result[to * channels + c] = array[from * channels + c];
      }
    }
    return result;
  }

  const copies = [];
  for (const flipY of [false, true]) {
    for (const flipX of [false, true]) {
      for (const transpose of high === wide ? [false, true] : [false]) copies.push([flipY, flipX, transpose]);
    }
  }

  /** What can be said of the masks: {further, unusual} of `predict`. */
  function trusted(pixels, bare, map) {
    const maps = about.tta ? [bare, map] : [map];
    const { models } = about.trust;
    const jaccards = about.thresholds.map((threshold, k) =>
      models[k] ? predictedJaccard(models[k], maps, [high, wide, classes], k, threshold) : undefined);
    const further = jaccards.map((jaccard) => (jaccard === undefined ? {} : { predicted_jaccard: jaccard }));
    const fractions = about.thresholds.map((threshold, k) => {
      const least = Math.fround(threshold);
      let count = 0;
      for (let i = k; i < map.length; i += classes) count += map[i] >= least ? 1 : 0;
      return count / (high * wide);
    });
    return { further, unusual: reasons(about.trust, pixels, high, wide, fractions, jaccards) };
  }

  return {
    about,
    async predict(file, bitmap) {
      const pixels = fitted(bitmap);
      const wanted = about.tta ? copies : copies.slice(0, 1);
      const map = new Float32Array(high * wide * classes);
      let bare;
      for (const copy of wanted) {
        const found = turned(await run(turned(pixels, 3, copy, false)), classes, copy, true);
        bare ??= Float32Array.from(found); // the first copy is the image as it is
        for (let i = 0; i < map.length; i++) map[i] += found[i] / wanted.length;
        await new Promise((resolve) => setTimeout(resolve)); // the page stays alive
      }
      return { height: bitmap.height, width: bitmap.width, map, mapSize: [high, wide, classes], ...trusted(pixels, bare, map) };
    },
    async picture(file) {
      try {
        return await createImageBitmap(file);
      } catch {
        throw new Error(`${file.name}: this browser cannot show such a file; save it as JPEG or PNG`);
      }
    },
  };
}
