// A live HLS stream by Media Source Extensions, as players in pages do it: begin three segments before the end, append
// each new segment as soon as it is listed, play on with what the playlist lists where it no longer lists the next one.
// Chromium's own player gives up there.
(async () => {
  const url = new URL("/live/index.m3u8", location);
  const pause = (ms) => new Promise((go) => setTimeout(go, ms));
  const next = (target, name) => new Promise((go) => target.addEventListener(name, go, { once: true }));
  const listed = (text) => {
    const found = [];
    let [first, anew] = [0, false];
    for (const line of text.split("\n")) {
      if (line.startsWith("#EXT-X-MEDIA-SEQUENCE:")) first = Number(line.split(":")[1]);
      else if (line === "#EXT-X-DISCONTINUITY") anew = true;
      else if (line && !line.startsWith("#")) {
        found.push({ number: first + found.length, name: line, anew });
        anew = false;
      }
    }
    return found;
  };
  const video = document.querySelector("video");
  const source = new MediaSource();
  video.src = URL.createObjectURL(source);
  await next(source, "sourceopen");
  const buffer = source.addSourceBuffer('video/mp2t; codecs="avc1.640028,mp4a.40.2"');
  buffer.mode = "sequence";
  let done = null;
  for (;;) {
    const segments = listed(await (await fetch(url, { cache: "no-store" })).text());
    done ??= segments[segments.length - 1].number - 3;
    const fresh = segments.filter((segment) => segment.number > done);
    for (const { number, name, anew } of fresh) {
      const media = await fetch(new URL(name, url));
      // what does not follow in time is laid where the media end: only after an abort, else there is a gap before it
      if (anew || number !== done + 1) buffer.abort();
      buffer.appendBuffer(await media.arrayBuffer());
      await next(buffer, "updateend");
      done = number;
    }
    await pause(fresh.length ? 500 : 125);
  }
})();
