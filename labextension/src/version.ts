import manifest from '../package.json';

/** Of this extension. */
export const version: string = manifest.version;
