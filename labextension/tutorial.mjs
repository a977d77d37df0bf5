/* The first tutorial, without its outputs, goes into the built extension: the launcher opens a copy. */

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';

const source = new URL(
  '../notebooks/01_bring_your_own_model.ipynb',
  import.meta.url
);
const target = new URL('../sm_magics/labextension/static/', import.meta.url);

const notebook = JSON.parse(readFileSync(source, 'utf-8'));
for (const cell of notebook.cells) {
  cell.metadata = {};
  if (cell.cell_type === 'code') {
    cell.outputs = [];
    cell.execution_count = null;
  }
}
mkdirSync(target, { recursive: true });
writeFileSync(
  new URL('first_tutorial.ipynb', target),
  JSON.stringify(notebook)
);
