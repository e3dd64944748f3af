/**
 * A browser of few lines: keeps cookies, follows redirects, fills in each form and sends it, until a page has none, or a button was pressed that
 * a field names. Returns the last page.
 */
export async function clickThrough(start: string, fields: Readonly<Record<string, string>>): Promise<string> {
  const cookies = new Map<string, string>();
  let url = new URL(start);
  let sent: URLSearchParams | undefined;
  let isPressed = false;
  for (let step = 0; step < 30; step++) {
    const response = await fetch(url, {
      redirect: "manual",
      method: sent === undefined ? "GET" : "POST",
      headers: { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join("; ") },
      ...(sent !== undefined && { body: sent }),
    });
    for (const line of response.headers.getSetCookie()) {
      const [, name = "", value = ""] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
      if (value === "") cookies.delete(name);
      else cookies.set(name, value);
    }
    sent = undefined;
    const location = response.headers.get("location");
    if (location !== null) {
      url = new URL(location, url);
      continue;
    }
    const page = await response.text();
    const form = /<form[^>]*action="([^"]*)"[^>]*>([\s\S]*?)<\/form>/.exec(page);
    if (form === null || isPressed) return page;
    url = new URL(form[1]!.replaceAll("&amp;", "&"), url);
    sent = new URLSearchParams();
    for (const [input] of form[2]!.matchAll(/<input[^>]*>/g)) {
      const name = /name="([^"]*)"/.exec(input)?.[1];
      if (name !== undefined) sent.set(name, fields[name] ?? /value="([^"]*)"/.exec(input)?.[1] ?? "");
    }
    for (const [, name = ""] of page.matchAll(/<button[^>]*name="([^"]*)"/g)) {
      if (fields[name] === undefined) continue;
      sent.set(name, fields[name]);
      isPressed = true;
    }
  }
  throw new Error(`Cannot click through ${start}: it does not end`);
}
