import { LabIcon } from '@jupyterlab/ui-components';

/** A container with a model in it. */
export const smMagicsIcon = new LabIcon({
  name: 'sm-magics:endpoint',
  svgstr:
    '<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">' +
    '<path class="jp-icon3" fill="#616161" fill-rule="evenodd" d="M12 1.8 20.8 6.9v10.2L12 22.2 3.2 17.1V6.9Z' +
    'M12 4.1 5.2 8.05v7.9L12 19.9l6.8-3.95v-7.9ZM12 8.6a3.4 3.4 0 1 1 0 6.8 3.4 3.4 0 0 1 0-6.8Z"/></svg>'
});

/** The same, sent off. */
export const deployIcon = new LabIcon({
  name: 'sm-magics:deploy',
  svgstr:
    '<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">' +
    '<path class="jp-icon3" fill="#616161" fill-rule="evenodd" d="M12 2.2 17.4 8h-3.6v6.2h-3.6V8H6.6Z' +
    'M4 12.2l2.6-1.5v2.3L6 13.4v4.2l6 3.2 6-3.2v-4.2l-.6-.4v-2.3l2.6 1.5v6.6L12 23l-8-4.2Z"/></svg>'
});
