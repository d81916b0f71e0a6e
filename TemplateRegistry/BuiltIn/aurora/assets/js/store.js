// A picture that can't be loaded makes way for the drawing behind it. Without this script the drawing covers the browser's broken picture where browsers allow it.
const hide = image => { image.hidden = true; };

addEventListener("error", event => event.target instanceof HTMLImageElement && hide(event.target), true);
for (const image of document.images) {
  // It may have failed before this script ran.
  if (image.complete && image.naturalWidth === 0)
    image.decode().catch(() => hide(image));
}
