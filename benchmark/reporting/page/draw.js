// What the page's parts share: elements, numbers, and two drawings. Text enters the page as text alone, never as HTML.

const SIGNIFICANT = 0.05;
const SVG = 'http://www.w3.org/2000/svg';
const find = (selector, within = document) => within.querySelector(selector);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];

function put(node, facts, children) {
  for (const [name, value] of Object.entries(facts || {})) if (value !== null && value !== false) node.setAttribute(name, value);
  node.append(...children.flat().filter((child) => child !== null && child !== ''));
  return node;
}
const make = (tag, facts, ...children) => put(document.createElement(tag), facts, children);
const drawn = (tag, facts, ...children) => put(document.createElementNS(SVG, tag), facts, children);

let parsed = null;
function data() {  // parsed when first asked for: the page stands before that
  parsed ??= JSON.parse(find('#data').textContent);
  return parsed;
}

const isKnown = (value) => value !== null && value !== undefined && value !== '';
const withMinus = (text) => text.replace('-', '\u2212');
const number = (value, digits = 2) => isKnown(value)
  ? withMinus(value.toLocaleString('en-GB', { minimumFractionDigits: digits, maximumFractionDigits: digits })) : '–';
const hundredths = (value) => number(isKnown(value) ? 100 * value : null);
const signed = (value) => (isKnown(value) ? (value >= 0 ? '+' : '') + hundredths(value) : '–');
const spread = (mean, sd) => hundredths(mean) + (isKnown(sd) ? ` ± ${hundredths(sd)}` : '');
function localTime(text) {  // of an ISO 8601 time; what is none stays as it is
  const time = new Date(text);
  return Number.isNaN(time.getTime()) ? text : time.toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'short' });
}
async function copyText(element) {  // a browser may forbid the clipboard to files
  try {
    await navigator.clipboard.writeText(element.textContent);
    announce('Copied');
  } catch {
    getSelection().selectAllChildren(element);
    announce('Selected: copy it with your keys');
  }
}
function pText(p) {  // as benchmark.reporting.format.p_value writes it
  if (!isKnown(p)) return '–';
  if (p < 0.001) return '< 0.001';
  let digits = 3;
  while ((Number(p.toFixed(digits)) < SIGNIFICANT) !== (p < SIGNIFICANT)) digits += 1;
  return p.toFixed(digits);
}
const pValue = (p) => pText(p) + (isKnown(p) && p < SIGNIFICANT ? ' *' : '');

function table(caption, heads, rows, kind = '') {
  // heads: [text, is a number]; the first cell of a row is its head
  const head = make('tr', {}, heads.map(([text, numeric]) => make('th', { scope: 'col', class: numeric ? 'number' : null }, text)));
  const body = rows.map((row) => make('tr', {}, row.map((text, index) => (index === 0
    ? make('th', { scope: 'row' }, text) : make('td', { class: heads[index][1] ? 'number' : null }, text)))));
  return make('div', { class: 'scroll', role: 'region', tabindex: 0, 'aria-label': caption },
    make('table', { class: kind || null }, make('caption', {}, caption),
      heads.some(([text]) => text) ? make('thead', {}, head) : '', make('tbody', {}, body)));
}

function ticks(low, high, wanted = 4) {
  const rough = (high - low) / wanted, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough * 0.999);
  const marks = [];
  for (let multiple = Math.ceil(low / step - 1e-9); multiple * step <= high + step * 1e-9; multiple += 1) marks.push(multiple * step);
  return { marks, digits: Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) };
}

function range(values, share = 0.06) {
  let low = Infinity, high = -Infinity;
  for (const value of values) if (isKnown(value)) { low = Math.min(low, value); high = Math.max(high, value); }
  const room = (high - low) * share || Math.abs(high) * 0.02 || 0.01;
  return [low - room, high + room];
}

// Each run a dot, the mean a stroke, its sd a bar; one row per set: [name, scores, mean, sd, is its own]
function dots(sets, label) {
  const width = 380, left = 8, bottom = 34, height = 250, row = (height - bottom) / sets.length;
  const known = sets.flatMap(([, scores, mean, sd]) => [...scores, mean - (sd || 0), mean + (sd || 0)].filter(isKnown).map((v) => 100 * v));
  const [low, high] = range(known);
  const x = (value) => left + ((100 * value - low) / (high - low)) * (width - 2 * left);
  const { marks, digits } = ticks(low, high, 5);
  const axis = marks.map((value) => drawn('g', {},
    drawn('line', { class: 'axis', x1: x(value / 100), x2: x(value / 100), y1: 0, y2: height - bottom }),
    drawn('text', { x: x(value / 100), y: height - bottom + 14, 'text-anchor': 'middle' }, withMinus(value.toFixed(digits)))));
  const rows = sets.map(([name, scores, mean, sd, own], index) => {
    const y = (index + 0.5) * row + 8, style = own ? 'own' : 'other';
    return drawn('g', {},
      drawn('text', { x: left, y: y - 20 }, name),
      isKnown(sd) ? drawn('line', { class: style, x1: x(mean - sd), x2: x(mean + sd), y1: y + 9, y2: y + 9, 'stroke-width': 1.5 }) : '',
      drawn('line', { class: style, x1: x(mean), x2: x(mean), y1: y - 8, y2: y + 12, 'stroke-width': 2 }),
      scores.filter(isKnown).map((score) => drawn('circle', { class: `${style}-dot`, cx: x(score), cy: y, r: 4 })));
  });
  return drawn('svg', { viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': label }, axis, rows,
    drawn('text', { x: width / 2, y: height - 3, 'text-anchor': 'middle' }, '100 × score: dots are runs, the bar is ± sd'));
}

// A line for each run: {name, epochs, values, best}
function curves(lines, label) {
  const width = 380, height = 250, left = 46, bottom = 34, top = 8, right = 8;
  const last = Math.max(...lines.flatMap((line) => line.epochs)), first = Math.min(...lines.flatMap((line) => line.epochs));
  const [low, high] = range(lines.flatMap((line) => line.values));
  const x = (epoch) => left + ((epoch - first) / (last - first || 1)) * (width - left - right);
  const y = (value) => top + ((high - value) / (high - low)) * (height - top - bottom);
  const across = ticks(low, high, 6), along = ticks(first, last === first ? first + 1 : last, 6);
  const grid = across.marks.map((value) => drawn('g', {},
    drawn('line', { class: 'axis', x1: left, x2: width - right, y1: y(value), y2: y(value) }),
    drawn('text', { x: left - 6, y: y(value) + 4, 'text-anchor': 'end' }, withMinus(value.toFixed(across.digits)))));
  const below = along.marks.filter((epoch) => Number.isInteger(epoch) && epoch <= last).map((epoch) =>
    drawn('text', { x: x(epoch), y: height - bottom + 15, 'text-anchor': 'middle' }, String(epoch)));
  const paths = lines.map((line) => {
    let path = '', pen = 'M';  // an epoch without a value breaks the line
    line.values.forEach((value, index) => {
      if (isKnown(value)) { path += `${pen}${x(line.epochs[index]).toFixed(1)} ${y(value).toFixed(1)}`; pen = 'L'; } else pen = 'M';
    });
    const best = line.epochs.indexOf(line.best);
    return drawn('g', {}, drawn('title', {}, line.name), drawn('path', { class: 'own', d: path }),
      best >= 0 && isKnown(line.values[best])
        ? drawn('circle', { class: 'own-dot', cx: x(line.best), cy: y(line.values[best]), r: 3.5 }) : '');
  });
  return drawn('svg', { viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': label }, grid, below, paths,
    drawn('text', { x: (left + width) / 2, y: height - 3, 'text-anchor': 'middle' }, 'epoch: the dot is the best'));
}
