import { LabIcon } from '@jupyterlab/ui-components';

/** A network of which some channels are gone. */
export const spaIcon = new LabIcon({
  name: 'spa-kernel:panel',
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16" viewBox="0 0 24 24">
  <g class="jp-icon3" fill="none" stroke="#616161" stroke-width="1.6">
    <path d="M6.5 5.5 17.5 8.5M6.5 12 17.5 8.5M6.5 12 17.5 15.5M6.5 18.5 17.5 15.5"/>
  </g>
  <g class="jp-icon3 jp-icon-selectable" fill="#616161">
    <circle cx="5" cy="5" r="2.6"/><circle cx="5" cy="12" r="2.6"/>
    <circle cx="5" cy="19" r="2.6"/><circle cx="19" cy="8.5" r="2.6"/>
    <circle cx="19" cy="15.5" r="2.6"/>
  </g>
</svg>`
});
