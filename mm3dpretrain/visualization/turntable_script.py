"""Style and script of the page that :mod:`mm3dpretrain.visualization.turntable` writes."""

STYLE = """
body { font: 14px sans-serif; margin: 16px; color: #222; background: #fff; }
h1 { font-size: 18px; }
#panels { display: flex; flex-wrap: wrap; gap: 12px; }
figure { margin: 0; width: 300px; }
figcaption { overflow-wrap: anywhere; }
figcaption small { color: #777; display: block; }
canvas { width: 300px; height: 300px; border: 1px solid #ddd; touch-action: none; cursor: grab; }
"""

# Frame of the page: x right, y up, z towards the viewer. The viewer's angles and distance are those
# of draw_points, so a page opens with the view of the PNG beside it.
SCRIPT = r"""
'use strict';
(function () {
  const DISTANCE = 2.8;
  const FOCAL = 1 / Math.tan(Math.PI / 8);
  const SIDE = 300;
  const START = { azimuth: 30, elevation: 20, zoom: 1 };
  const LIGHT = { none: 0, normals: 1, depth: 2 };
  const view = Object.assign({}, START);

  function bytes(text) {
    const raw = atob(text);
    const out = new Uint8Array(raw.length);
    for (let i = 0; i < raw.length; i++) out[i] = raw.charCodeAt(i);
    return out;
  }

  // corners of what is drawn: positions and colours one by one, and normals for faces
  function decode(record) {
    const source = new Float32Array(bytes(record.points).buffer);
    const colors = bytes(record.colors);
    const faces = record.faces === null ? null : new Uint32Array(bytes(record.faces).buffer);
    const axes = [(record.up + 2) % 3, record.up, (record.up + 1) % 3];
    const total = faces ? faces.length : source.length / 3;
    const item = {
      title: record.title, note: record.note, faces: faces !== null, total: total,
      light: faces ? LIGHT.normals : record.plain ? LIGHT.depth : LIGHT.none,
      position: new Float32Array(3 * total), color: new Uint8Array(3 * total), normal: null
    };
    for (let i = 0; i < total; i++) {
      const row = faces ? faces[i] : i;
      const paint = record.by_face ? Math.floor(i / 3) : row;
      for (let k = 0; k < 3; k++) {
        const axis = axes[k];
        item.position[3 * i + k] = (source[3 * row + axis] - record.center[axis]) / record.radius;
        item.color[3 * i + k] = colors[3 * paint + k];
      }
    }
    if (faces) item.normal = normals(item.position);
    return item;
  }

  function normals(p) {
    const out = new Float32Array(p.length);
    for (let i = 0; i < p.length; i += 9) {
      const ax = p[i + 3] - p[i], ay = p[i + 4] - p[i + 1], az = p[i + 5] - p[i + 2];
      const bx = p[i + 6] - p[i], by = p[i + 7] - p[i + 1], bz = p[i + 8] - p[i + 2];
      const n = [ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx];
      const length = Math.hypot(n[0], n[1], n[2]) || 1;
      for (let k = 0; k < 9; k++) out[i + k] = n[k % 3] / length;
    }
    return out;
  }

  // rows of the rotation into the frame of the viewer
  function rotation() {
    const a = view.azimuth * Math.PI / 180, e = view.elevation * Math.PI / 180;
    const ca = Math.cos(a), sa = Math.sin(a), ce = Math.cos(e), se = Math.sin(e);
    return [ca, 0, -sa, -se * sa, ce, -se * ca, ce * sa, se, ce * ca];
  }

  function dotSize(item, pixels) {
    return Math.max(1.5, Math.min(6, 220 / Math.sqrt(item.total))) * pixels / SIDE;
  }

  // ------------------------------------------------------------------ WebGL

  const VERTEX = [
    'attribute vec3 position;',
    'attribute vec3 color;',
    'attribute vec3 normal;',
    'uniform mat3 turn;',
    'uniform vec4 lens;', // focal length, distance, size of a dot, LIGHT
    'varying vec3 tint;',
    'void main() {',
    '  vec3 p = turn * position;',
    '  float w = lens.y - p.z;',
    '  gl_Position = vec4(p.xy * lens.x, (w * 10.1 - 2.0) / 9.9, w);', // near 0.1, far 10
    '  gl_PointSize = lens.z * lens.y / w;',
    '  vec3 eye = normalize(vec3(0.0, 0.0, lens.y) - p);',
    '  float light = 1.0;',
    '  if (lens.w > 1.5) light = 0.75 - 0.5 * p.z;',
    '  else if (lens.w > 0.5) light = 0.35 + 0.65 * abs(dot(turn * normal, eye));',
    '  tint = color * light;',
    '}'
  ].join('\n');
  const FRAGMENT = [
    'precision mediump float;',
    'uniform float dots;',
    'varying vec3 tint;',
    'void main() {',
    '  vec2 d = gl_PointCoord - 0.5;',
    '  if (dots > 0.5 && dot(d, d) > 0.25) discard;',
    '  gl_FragColor = vec4(tint, 1.0);',
    '}'
  ].join('\n');

  // one context for all panels: browsers allow only a few
  function makeWebgl() {
    const canvas = document.createElement('canvas');
    const gl = canvas.getContext('webgl', { alpha: false, antialias: true });
    if (!gl) return null;
    const program = gl.createProgram();
    for (const part of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(part[0]);
      gl.shaderSource(shader, part[1]);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    const names = ['position', 'color', 'normal'];
    names.forEach(function (name, i) { gl.bindAttribLocation(program, i, name); });
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) return null;
    gl.useProgram(program);
    const place = {};
    for (const name of ['turn', 'lens', 'dots']) {
      place[name] = gl.getUniformLocation(program, name);
    }
    gl.enable(gl.DEPTH_TEST);
    gl.clearColor(1, 1, 1, 1);

    function upload(item) {
      item.buffers = names.map(function (name) {
        if (!item[name]) return null;
        const buffer = gl.createBuffer();
        gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
        gl.bufferData(gl.ARRAY_BUFFER, item[name], gl.STATIC_DRAW);
        return buffer;
      });
    }

    function draw(item, target, pixels) {
      if (gl.isContextLost()) return false;
      if (canvas.height !== pixels) canvas.width = canvas.height = pixels;
      if (!item.buffers) upload(item);
      gl.viewport(0, 0, pixels, pixels);
      gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
      item.buffers.forEach(function (buffer, i) {
        if (!buffer) {
          gl.disableVertexAttribArray(i);
          gl.vertexAttrib3f(i, 0, 0, 0);
          return;
        }
        gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
        gl.enableVertexAttribArray(i);
        if (i === 1) gl.vertexAttribPointer(i, 3, gl.UNSIGNED_BYTE, true, 0, 0);
        else gl.vertexAttribPointer(i, 3, gl.FLOAT, false, 0, 0);
      });
      const r = rotation();
      const columns = [0, 3, 6, 1, 4, 7, 2, 5, 8].map(function (k) { return r[k]; });
      gl.uniformMatrix3fv(place.turn, false, columns);
      gl.uniform4f(place.lens, FOCAL * view.zoom, DISTANCE, dotSize(item, pixels),
        item.light);
      gl.uniform1f(place.dots, item.faces ? 0 : 1);
      gl.drawArrays(item.faces ? gl.TRIANGLES : gl.POINTS, 0, item.total);
      target.drawImage(canvas, 0, 0);
      return true;
    }
    return { draw: draw, name: 'Drawn with WebGL.' };
  }

  // ------------------------------------------------------------------ plain canvas

  function makePlain() {
    function draw(item, target, pixels) {
      const r = rotation(), p = item.position, half = pixels / 2;
      const x = new Float32Array(item.total), y = new Float32Array(item.total);
      const z = new Float32Array(item.total);
      for (let i = 0; i < item.total; i++) {
        const a = p[3 * i], b = p[3 * i + 1], c = p[3 * i + 2];
        z[i] = r[6] * a + r[7] * b + r[8] * c;
        const scale = half * FOCAL * view.zoom / (DISTANCE - z[i]);
        x[i] = half + scale * (r[0] * a + r[1] * b + r[2] * c);
        y[i] = half - scale * (r[3] * a + r[4] * b + r[5] * c);
      }
      target.fillStyle = '#fff';
      target.fillRect(0, 0, pixels, pixels);
      const step = item.faces ? 3 : 1;
      const order = new Uint32Array(item.total / step);
      const near = new Float32Array(order.length);
      for (let i = 0; i < order.length; i++) {
        order[i] = i;
        for (let k = 0; k < step; k++) near[i] += z[step * i + k];
      }
      order.sort(function (i, j) { return near[i] - near[j]; }); // far ones first
      const dot = dotSize(item, pixels);
      for (const number of order) {
        const i = step * number;
        let light = 1;
        if (item.light === LIGHT.depth) light = 0.75 - 0.5 * z[i];
        if (item.light === LIGHT.normals) {
          const n = item.normal, k = 3 * i;
          light = 0.35 + 0.65 * Math.abs(r[6] * n[k] + r[7] * n[k + 1] + r[8] * n[k + 2]);
        }
        const c = [0, 1, 2].map(function (k) { return Math.round(light * item.color[3 * i + k]); });
        target.fillStyle = 'rgb(' + c.join(',') + ')';
        if (item.faces) {
          target.beginPath();
          target.moveTo(x[i], y[i]);
          target.lineTo(x[i + 1], y[i + 1]);
          target.lineTo(x[i + 2], y[i + 2]);
          target.closePath();
          target.fill();
        } else {
          target.fillRect(x[i] - dot / 2, y[i] - dot / 2, dot, dot);
        }
      }
      return true;
    }
    return { draw: draw, name: 'Drawn without WebGL, which this browser lacks.' };
  }

  // ------------------------------------------------------------------ the page

  const items = JSON.parse(document.getElementById('data').textContent).items.map(decode);
  const panels = items.map(function (item) {
    const figure = document.createElement('figure');
    const caption = document.createElement('figcaption');
    const note = document.createElement('small');
    caption.textContent = item.title;
    note.textContent = item.note;
    caption.appendChild(note);
    figure.appendChild(caption);
    const canvas = document.createElement('canvas');
    figure.appendChild(canvas);
    document.getElementById('panels').appendChild(figure);
    listen(canvas);
    return canvas;
  });
  let painter = makeWebgl() || makePlain();
  let waiting = false;

  function paint() {
    waiting = false;
    const pixels = Math.round(SIDE * Math.min(window.devicePixelRatio || 1, 2));
    for (let i = 0; i < items.length; i++) {
      // a new canvas is 300 wide, but not high
      if (panels[i].height !== pixels) panels[i].width = panels[i].height = pixels;
      const target = panels[i].getContext('2d');
      if (!painter.draw(items[i], target, pixels)) {
        painter = makePlain();
        painter.draw(items[i], target, pixels);
      }
    }
    document.getElementById('mode').textContent = painter.name;
  }

  function repaint() {
    if (!waiting) window.requestAnimationFrame(paint);
    waiting = true;
  }

  function zoomBy(factor) {
    view.zoom = Math.min(8, Math.max(0.3, view.zoom * factor));
    repaint();
  }

  function listen(canvas) {
    const fingers = new Map();
    function spread() {
      const [a, b] = Array.from(fingers.values());
      return Math.hypot(a[0] - b[0], a[1] - b[1]);
    }
    canvas.addEventListener('pointerdown', function (event) {
      canvas.setPointerCapture(event.pointerId);
      fingers.set(event.pointerId, [event.clientX, event.clientY]);
    });
    canvas.addEventListener('pointermove', function (event) {
      const last = fingers.get(event.pointerId);
      if (!last) return;
      const before = fingers.size === 2 ? spread() : 0;
      fingers.set(event.pointerId, [event.clientX, event.clientY]);
      if (fingers.size === 2) {
        if (before > 0) zoomBy(spread() / before);
      } else if (fingers.size === 1) {
        view.azimuth -= 0.6 * (event.clientX - last[0]);
        const e = view.elevation + 0.6 * (event.clientY - last[1]);
        view.elevation = Math.min(90, Math.max(-90, e));
        repaint();
      }
    });
    for (const name of ['pointerup', 'pointercancel']) {
      canvas.addEventListener(name, function (event) { fingers.delete(event.pointerId); });
    }
    canvas.addEventListener('wheel', function (event) {
      event.preventDefault();
      zoomBy(Math.exp(-0.001 * event.deltaY));
    }, { passive: false });
    canvas.addEventListener('dblclick', function () {
      Object.assign(view, START);
      repaint();
    });
  }

  window.addEventListener('resize', repaint);
  repaint();
})();
"""
