// Sorting and filtering of the leaderboard, the theme, copying and printing. Without this script the tables still stand.

function startBoard() {
  const form = find('#filters'), body = find('#board tbody'), heads = all('#board thead th'), rows = all('tr', body);
  const words = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
  const nothing = make('tr', { hidden: '' }, make('td', { colspan: heads.length, class: 'empty' }, 'Nothing has all of these.'));
  body.append(nothing);

  function keyOf(row, column, kind) {
    const cell = row.children[column];
    if (kind === 'text') return cell.textContent.trim();
    return cell.dataset.v === '' ? null : Number(cell.dataset.v);
  }
  function sort(head, direction) {
    const column = heads.indexOf(head), kind = head.dataset.kind, sign = direction === 'ascending' ? 1 : -1;
    const keys = new Map(rows.map((row) => [row, keyOf(row, column, kind)]));
    rows.sort((one, two) => {
      const first = keys.get(one), second = keys.get(two);
      if (first === null || second === null) return (first === null) - (second === null);  // unknown is last, both ways
      return sign * (kind === 'text' ? first.localeCompare(second, 'en', { numeric: true }) : first - second);
    });
    body.append(...rows, nothing);
    heads.forEach((other) => other.setAttribute('aria-sort', other === head ? direction : 'none'));
  }
  function filter() {
    const { text, correction, ...wanted } = Object.fromEntries(new FormData(form));
    const pieces = text.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const fits = Object.entries(wanted).every(([name, value]) => !value || row.dataset[name] === value)
        && pieces.every((piece) => words.get(row).includes(piece));
      row.hidden = !fits;
      shown += fits;
    }
    nothing.hidden = shown > 0;
    find('#count').textContent = `${shown} of ${rows.length} rows`;
  }
  function correct() {
    const chosen = form.elements.correction.value;
    for (const cell of all('.p', body)) {
      cell.dataset.v = cell.dataset[chosen];
      cell.textContent = pValue(cell.dataset.v === '' ? null : Number(cell.dataset.v));
    }
    const sorted = heads.find((head) => head.getAttribute('aria-sort') !== 'none');
    if (sorted) sort(sorted, sorted.getAttribute('aria-sort'));
  }

  for (const head of heads) {
    const button = make('button', { type: 'button' }, head.textContent);
    head.replaceChildren(button);
    button.addEventListener('click', () => {
      const now = head.getAttribute('aria-sort'), usual = head.dataset.kind === 'text' || head === heads[6] ? 'ascending' : 'descending';
      const other = usual === 'ascending' ? 'descending' : 'ascending';
      sort(head, now === usual ? other : usual);
    });
  }
  form.hidden = false;
  form.addEventListener('submit', (event) => event.preventDefault());
  form.addEventListener('input', filter);
  form.elements.correction.addEventListener('change', correct);
  filter();
  correct();
}

function startTheme() {
  const button = find('#theme'), system = matchMedia('(prefers-color-scheme: dark)'), root = document.documentElement;
  const kept = (value) => {  // a browser may forbid storage to files
    try { if (value) localStorage.setItem('theme', value); return localStorage.getItem('theme'); } catch { return null; }
  };
  const isDark = () => (root.dataset.theme ? root.dataset.theme === 'dark' : system.matches);
  const show = () => button.setAttribute('aria-pressed', String(isDark()));
  const before = kept();
  if (before === 'dark' || before === 'light') root.dataset.theme = before;
  button.addEventListener('click', () => { root.dataset.theme = isDark() ? 'light' : 'dark'; kept(root.dataset.theme); show(); });
  system.addEventListener('change', show);
  button.hidden = false;
  show();
}

function startCopying() {
  for (const button of all('[data-copy]')) {
    button.hidden = false;
    button.addEventListener('click', async () => {
      const text = document.getElementById(button.dataset.copy);
      try {
        await navigator.clipboard.writeText(text.textContent);
        tell('Copied');
      } catch {
        getSelection().selectAllChildren(text);
        tell('Selected: copy it with your keys');
      }
    });
  }
}

function startPrinting() {
  let opened = [];
  const before = () => {
    for (const details of all('main details')) {
      if (details.classList.contains('matrix')) drawMatrix(details);
      if (!details.open) { details.open = true; opened.push(details); }
    }
  };
  const after = () => { opened.forEach((details) => { details.open = false; }); opened = []; };
  window.addEventListener('beforeprint', before);
  window.addEventListener('afterprint', after);
  const print = matchMedia('print');
  print.addEventListener('change', () => (print.matches ? before() : after()));
  if (print.matches) before();
}

startTheme();
startBoard();
startMatrices();
startCells();
startCopying();
startPrinting();
