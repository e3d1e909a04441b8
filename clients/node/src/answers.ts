/** Which answer a request gets: by what the guard says, and by the kind of its route. */
export type RouteKind = 'page' | 'api';

/**
 * A browser that opens a page asks for text/html, and what asks for nothing is a framework's own test client, which wants
 * to see what a browser would. Everything else is a program.
 */
export function kindOfRoute(header: (name: string) => string): RouteKind {
  const accept = header('accept');
  const isProgram =
    /^bearer /i.test(header('authorization')) ||
    header('x-requested-with').toLowerCase() === 'xmlhttprequest' ||
    header('content-type').toLowerCase().startsWith('application/json');
  const kinds = accept.split(',').map((part) => part.split(';', 1)[0]!.trim().toLowerCase());
  const wantsPage = accept === '' || kinds.includes('text/html') || kinds.includes('application/xhtml+xml');
  return wantsPage && !isProgram ? 'page' : 'api';
}

/** The header WWW-Authenticate of a 401; not `ended`: there was no session and no token. */
export function challenge(scheme: 'cookie' | 'bearer', ended: boolean): string {
  if (scheme === 'bearer') {
    return `Bearer${ended ? ' error="invalid_token", error_description="The session has ended"' : ''}`;
  }
  return `Cookie realm="login"${ended ? ', error="The session has ended"' : ''}`;
}

export interface Answer {
  status: number;
  headers: Record<string, string>;
  body: string;
}

export function json(status: number, error: string, message: string, headers: Record<string, string> = {}): Answer {
  return {
    status,
    headers: { 'content-type': 'application/json; charset=utf-8', 'cache-control': 'no-store', ...headers },
    body: JSON.stringify({ error, message }),
  };
}

export function page(status: number, html: string, headers: Record<string, string> = {}): Answer {
  return { status, headers: { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store', ...headers }, body: html };
}

export function plainPage(title: string, message: string): string {
  return `<!doctype html>\n<meta charset="utf-8">\n<title>${title}</title>\n<p>${message}</p>\n`;
}

/** Where to go on after the login; only a path of this app, as `//example.org` is another's. */
export function withNext(loginPath: string, method: string, url: string): string {
  const isOwn = /^\/(?![/\\])/.test(url) && (method === 'GET' || method === 'HEAD');
  return isOwn ? `${loginPath}${loginPath.includes('?') ? '&' : '?'}next=${encodeURIComponent(url)}` : loginPath;
}
