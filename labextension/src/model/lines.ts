/** The lines that actions stand for. Those that prune come from the kernel. */

/** Makes the commands known to a kernel. */
export const LOAD = '%load_ext spa_kernel';

/** What `example` may be: shapes such as `1,3,224,224; 1,10`, or an expression such as `x[:1]`. */
export function analyse(name: string, example: string): string {
  const given = example.trim();
  if (!given) {
    return `%spa_analyze ${name}`;
  }
  if (!isShape(given)) {
    return `%spa_analyze ${name} ${quoted(given)}`;
  }
  const shapes = given
    .split(';')
    .map(shape => shape.replace(/[\s()[\]]/g, '').replace(/,$/, ''))
    .filter(Boolean);
  return [`%spa_analyze ${name}`, ...shapes.map(s => `--shape ${s}`)].join(' ');
}

/** Whether an example input is given by its shape. */
export function isShape(example: string): boolean {
  return /^[\d\s,;x()[\]]*$/.test(example) && /\d/.test(example);
}

/** From one step of the history to another; empty if they are the same. */
export function jump(name: string, from: number, to: number): string {
  const steps = Math.abs(to - from);
  if (!steps) {
    return '';
  }
  const command = to < from ? '%spa_undo' : '%spa_redo';
  return [command, name, ...(steps > 1 ? [String(steps)] : [])].join(' ');
}

export function reset(name: string): string {
  return `%spa_reset ${name}`;
}

export function write(name: string, file: string): string {
  return `%spa_export ${name} ${quoted(file.trim())}`;
}

/** A file name that suits a network. */
export function fileFor(name: string): string {
  return `${name.replaceAll('.', '_')}.onnx`;
}

/** Whether a text can stand as one word in a command. */
export function isWord(text: string): boolean {
  return !(text.includes('"') && text.includes("'")) && !/[\r\n{}$]/.test(text);
}

/** A word as the commands read it: in quotation marks where it has a space or one of the two. */
function quoted(word: string): string {
  if (!/[\s'"]/.test(word)) {
    return word;
  }
  const mark = word.includes('"') ? "'" : '"';
  return `${mark}${word}${mark}`;
}
