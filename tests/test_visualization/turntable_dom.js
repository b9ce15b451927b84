// Runs the script of a page with a browser that has no WebGL, and prints what it draws.
const fs = require('fs');
const html = fs.readFileSync(process.argv[2], 'utf8');
const scripts = [...html.matchAll(/<script[^>]*>([\s\S]*?)<\/script>/g)].map((m) => m[1]);
const drawn = [];
const frames = [];
const handlers = [];
function element(tag) {
  const node = {
    tag, children: [], textContent: '', width: 300, height: 150,
    appendChild(child) { node.children.push(child); },
    setPointerCapture() {},
    addEventListener(name, call) { (node.on ||= {})[name] = call; }
  };
  if (tag === 'canvas') {
    const list = [];
    node.getContext = (kind) => kind === '2d' ? {
      fillStyle: '', points: [],
      fillRect(x, y, w, h) { list.push({ fill: this.fillStyle, x: x + w / 2, y: y + h / 2 }); },
      beginPath() { this.points = []; },
      moveTo(x, y) { this.points.push([x, y]); },
      lineTo(x, y) { this.points.push([x, y]); },
      closePath() {},
      fill() { list.push({ fill: this.fillStyle, triangle: this.points }); }
    } : null;
    node.list = list;
    drawn.push(node);
  }
  return node;
}
const known = { data: { textContent: scripts[0] }, panels: element('div'), mode: element('span') };
global.document = { getElementById: (id) => known[id], createElement: element };
global.window = {
  devicePixelRatio: 1,
  requestAnimationFrame(call) { frames.push(call); },
  addEventListener() {}
};
(0, eval)(scripts[1]);
const figures = known.panels.children;
function run() { while (frames.length) frames.shift()(); }
run();
const canvases = figures.map((figure) => figure.children[1]);
const first = canvases.map((canvas) => canvas.list.splice(0));
const on = canvases[0].on;
on.pointerdown({ pointerId: 1, clientX: 0, clientY: 0 });
on.pointermove({ pointerId: 1, clientX: 50, clientY: 0 });
run();
const dragged = canvases.map((canvas) => canvas.list.splice(0));
on.pointerdown({ pointerId: 2, clientX: 100, clientY: 0 });
on.pointermove({ pointerId: 2, clientX: 150, clientY: 0 });
run();
const pinched = canvases.map((canvas) => canvas.list.splice(0));
on.pointerup({ pointerId: 1 });
on.dblclick();
run();
const reset = canvases.map((canvas) => canvas.list.splice(0));
let prevented = false;
on.wheel({ deltaY: -500, preventDefault() { prevented = true; } });
run();
const zoomed = canvases.map((canvas) => canvas.list.splice(0));
console.log(JSON.stringify({
  sizes: canvases.map((canvas) => [canvas.width, canvas.height]),
  first, dragged, pinched, reset, zoomed, prevented, mode: known.mode.textContent,
  captions: figures.map((f) => [f.children[0].textContent, f.children[0].children[0].textContent])
}));
