// The slide in deep zoom: OpenSeadragon over the server's tiles, the map above it, and the overlay.

import { get } from "./api.js";
import { Overlay } from "./overlay.js";
import { scaleBar } from "./scale.js";

const { OpenSeadragon } = window;
const MOVED_AFTER = 250; // ms without movement

export class Viewer {
  /**
   * @param {HTMLElement} element
   * @param {function({x, y, um}): void} onPlace is told where the reader looks, once he rests there
   */
  constructor(element, onPlace) {
    this.osd = OpenSeadragon({
      element,
      drawer: "canvas",
      prefixUrl: "",
      crossOriginPolicy: false,
      showNavigationControl: false,
      showNavigator: true,
      navigatorPosition: "BOTTOM_RIGHT",
      navigatorSizeRatio: 0.18,
      navigatorAutoFade: false,
      navigatorBackground: "#fff",
      navigatorOpacity: 1,
      animationTime: 0.3,
      blendTime: 0.1,
      maxZoomPixelRatio: 4,
      minZoomImageRatio: 0.6,
      visibilityRatio: 0.5,
      imageLoaderLimit: 6,
      timeout: 120000,
      gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
    });
    this.overlay = new Overlay(this.osd.canvas);
    this.onPlace = onPlace;
    this.slide = null;
    this.map = null;
    this.isAsking = false; // why a tile did not come
    for (const event of ["update-viewport", "resize"]) this.osd.addHandler(event, () => this.follow());
    this.osd.addHandler("canvas-key", (event) => {
      event.preventDefaultAction = true; // the page has its own keys
    });
    this.osd.addHandler("tile-load-failed", ({ tile }) => this.#sayWhy(tile.getUrl()));
  }

  /** Say beside the slide why a picture of it did not come; one at a time, since many come to nothing together. */
  async #sayWhy(address) {
    const { slide } = this;
    if (!slide || this.isAsking) return;
    this.isAsking = true;
    try {
      await get(address);
    } catch (error) {
      if (this.slide !== slide) return;
      const fault = document.getElementById("fault");
      fault.textContent = [slide.fault, ...slide.notes, error.message].filter(Boolean).join(" ");
      fault.hidden = false;
    } finally {
      this.isAsking = false;
    }
  }

  /** Show a slide, at a place or as a whole. */
  open(slide, place, layer) {
    this.slide = slide;
    this.map = null;
    this.lastView = "";
    this.osd.close();
    const source = slide.fault ? blankSource(slide) : slideSource(slide);
    return new Promise((resolve) => {
      const show = () => {
        if (this.slide === slide) {
          if (place) this.goTo(place, true);
          else this.osd.viewport.goHome(true);
          this.setMap(layer);
          this.follow();
        }
        resolve();
      };
      // OpenSeadragon knows the size of a stage that was hidden only after a frame, and then keeps what it showed before
      this.osd.addOnceHandler("open", () => {
        this.osd.addOnceHandler("resize", () => requestAnimationFrame(show));
        this.osd.forceResize();
      });
      this.osd.open(source);
    });
  }

  close() {
    this.slide = null;
    this.map = null;
    this.osd.close();
  }

  /** Lay the map over the slide anew, or change its opacity. */
  setMap({ isShown, opacity, above }) {
    const shown = isShown ? opacity : 0;
    if (this.map?.above === above) {
      this.map.opacity = shown;
      this.map.item?.setOpacity(shown);
      return;
    }
    const before = this.map;
    const map = (this.map = { above, opacity: shown, item: null });
    const { width, map: { stride, shape } } = this.slide;
    this.osd.addTiledImage({
      tileSource: mapSource(this.slide, above),
      x: 0,
      y: 0,
      width: (shape[1] * stride) / width,
      opacity: shown,
      success: ({ item }) => {
        map.item = item;
        if (this.map === map) item.setOpacity(map.opacity);
        else this.osd.world.removeItem(item);
        if (before?.item) this.osd.world.removeItem(before.item);
      },
    });
  }

  goTo({ x, y, um }, isAtOnce = false) {
    const { width, mpp } = this.slide;
    const zoom = ((mpp / um) * width) / this.osd.viewport.getContainerSize().x;
    this.osd.viewport.zoomTo(zoom, null, isAtOnce);
    this.osd.viewport.panTo(new OpenSeadragon.Point((x + 0.5) / width, (y + 0.5) / width), isAtOnce);
  }

  goHome() {
    this.osd.viewport.goHome();
  }

  zoomBy(factor) {
    this.osd.viewport.zoomBy(factor);
    this.osd.viewport.applyConstraints();
  }

  /** Move by shares of the screen. */
  panBy(right, down) {
    const { width, height } = this.osd.viewport.getBounds();
    this.osd.viewport.panBy(new OpenSeadragon.Point(right * width, down * height));
    this.osd.viewport.applyConstraints();
  }

  /** Where the reader looks, or is about to: the level-0 pixel in the middle, and µm per pixel of the screen. */
  place(isCurrent = false) {
    const { viewport } = this.osd;
    const center = viewport.getCenter(isCurrent);
    const { width, mpp } = this.slide;
    const um = (mpp * width) / (viewport.getZoom(isCurrent) * viewport.getContainerSize().x);
    return { x: center.x * width - 0.5, y: center.y * width - 0.5, um };
  }

  /** Pixels of the screen per level-0 pixel. */
  get scale() {
    const { viewport } = this.osd;
    return (viewport.getZoom(true) * viewport.getContainerSize().x) / this.slide.width;
  }

  /** µm per pixel of the screen at which rings of (x, y) fill half of it. */
  umFor(rings) {
    const { x: width, y: height } = this.osd.viewport.getContainerSize();
    const extent = (axis) => {
      const values = rings.flat().map((corner) => corner[axis]);
      return values.reduce((most, value) => Math.max(most, value)) - values.reduce((least, value) => Math.min(least, value));
    };
    return 2 * this.slide.mpp * Math.max(extent(0) / width, extent(1) / height);
  }

  /** The level-0 pixel, with its fraction, below a point of the screen. */
  pixelAt(point) {
    const at = this.osd.viewport.pointFromPixel(point, true);
    return [at.x * this.slide.width, at.y * this.slide.width];
  }

  follow() {
    if (!this.slide || !this.osd.isOpen()) return;
    const { viewport } = this.osd;
    const { x: width, y: height } = viewport.getContainerSize();
    const { x: left, y: top } = viewport.pixelFromPoint(new OpenSeadragon.Point(0, 0), true);
    const { scale } = this;
    this.overlay.follow({ left, top, scale, width, height });
    const bar = scaleBar(this.slide.mpp / scale, Math.min(160, width / 3));
    document.getElementById("scale-bar").style.width = `${bar.pixels}px`;
    document.getElementById("scale-label").textContent = bar.label;
    const view = `${left},${top},${scale}`;
    if (view === this.lastView) return; // redrawn, not moved
    this.lastView = view;
    clearTimeout(this.resting);
    this.resting = setTimeout(() => this.slide && this.osd.isOpen() && this.onPlace(this.place()), MOVED_AFTER);
  }
}

function slideSource(slide) {
  const maxLevel = Math.log2(slide.coarsest);
  return {
    width: slide.width,
    height: slide.height,
    tileSize: slide.tile_side,
    minLevel: Math.max(0, Math.floor(Math.log2(slide.tile_side))),
    maxLevel,
    getTileUrl: (level, col, row) =>
      `slides/${slide.number}/${slide.version}/tiles/${2 ** (maxLevel - level)}/${row}/${col}.jpg`,
  };
}

/** A slide that cannot be shown: its frame alone, without a request. */
function blankSource(slide) {
  return { width: slide.width, height: slide.height, tileSize: slide.tile_side, maxLevel: 0, minLevel: 0, tileExists: () => false, getTileUrl: () => "" };
}

function mapSource(slide, above) {
  const { shape: [height, width], tile_side: tileSize } = slide.map;
  const maxLevel = Math.ceil(Math.log2(Math.max(width, height, 1)));
  return {
    width,
    height,
    tileSize,
    minLevel: 0,
    maxLevel,
    hasTransparency: () => true,
    getTileUrl: (level, col, row) =>
      `slides/${slide.number}/${slide.version}/map/${above}/${maxLevel - level}/${row}/${col}.png`,
  };
}
