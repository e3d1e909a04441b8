/**
 * Whether the path is one of the open ones, or below one: `/health` is not `/health-records`. What may lead elsewhere
 * once somebody resolves it is not open.
 */
export function isOpen(path: string, openPaths: readonly string[]): boolean {
  if (/(^|\/)\.{1,2}(\/|$)|\\|%(2e|2f|5c|00)/i.test(path)) return false;
  return openPaths.some((openPath) => path === openPath || isBelow(path, openPath));
}

/** Not of `/` alone, which would be all. */
function isBelow(path: string, folder: string): boolean {
  const open = folder.replace(/\/+$/, '');
  return open !== '' && path.startsWith(`${open}/`);
}
