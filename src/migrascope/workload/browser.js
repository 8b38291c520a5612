// What the page's video does, told by the binding "migrascope": [moment by this page's clock (ms), what, where in the
// film (s), readyState, ...]. An event adds words; a sample adds how much is buffered ahead (s), frames shown so far,
// frames dropped so far, and how much later than its interval it came (ms).
(() => {
  const EVERY_MS = 50;
  const EVENTS = ["loadedmetadata", "playing", "waiting", "stalled", "pause", "ended", "seeked", "ratechange", "error"];
  const tell = (...row) => migrascope(JSON.stringify(row));
  const ahead = (video) => {
    for (let at = 0; at < video.buffered.length; at += 1) {
      if (video.buffered.start(at) <= video.currentTime + 0.1 && video.currentTime <= video.buffered.end(at)) {
        return video.buffered.end(at) - video.currentTime;
      }
    }
    return 0;
  };
  const heard = (event) => {
    const of = event.target;
    if (of instanceof HTMLSourceElement) {
      tell(performance.now(), "unplayable", 0, 0, of.src);
    } else if (of instanceof HTMLVideoElement) {
      tell(performance.now(), event.type, of.currentTime, of.readyState, of.error ? of.error.message : "");
      if (event.type === "ended") {
        of.currentTime = 0;
        of.play();
      }
    }
  };
  // media events do not bubble, but are seen on their way down
  for (const name of EVENTS) document.addEventListener(name, heard, true);
  tell(performance.now(), "begun", 0, 0, navigator.userAgent);
  let before = performance.now();
  setInterval(() => {
    const now = performance.now();
    const late = Math.max(0, now - before - EVERY_MS);
    before = now;
    const video = document.querySelector("video");
    if (video === null) return;
    const frames = video.getVideoPlaybackQuality();
    const shown = [frames.totalVideoFrames, frames.droppedVideoFrames];
    tell(now, "sample", video.currentTime, video.readyState, ahead(video), ...shown, late);
  }, EVERY_MS);
})();
