// Turns bitmaps into JPEG away from the page's thread, so that sliders never wait for pictures.

let canvas = null;

self.onmessage = async ({ data: { bitmap, quality } }) => {
  const { width, height } = bitmap;
  if (canvas?.width !== width || canvas?.height !== height) canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d", { alpha: false }).drawImage(bitmap, 0, 0);
  const blob = await canvas.convertToBlob({ type: "image/jpeg", quality });
  const jpeg = await blob.arrayBuffer();
  self.postMessage({ jpeg, bitmap }, [jpeg, bitmap]);
};
