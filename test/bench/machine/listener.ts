import { readdirSync, readFileSync, readlinkSync } from "node:fs";

const LISTENING = "0A";

/** The kernel's numbers of the sockets that listen on a TCP port, on whatever address; empty when the port is free. */
export function findListeners(port: number): string[] {
  const hex = port.toString(16).toUpperCase().padStart(4, "0");
  return ["/proc/net/tcp", "/proc/net/tcp6"].flatMap((path) => {
    let text: string;
    try {
      text = readFileSync(path, "utf8");
    } catch {
      return []; // no IPv6 here
    }
    return text
      .split("\n")
      .slice(1)
      .map((line) => line.trim().split(/\s+/))
      .filter(([, local = "", , state]) => state === LISTENING && local.endsWith(`:${hex}`))
      .map((fields) => fields[9] as string);
  });
}

/** Throws when anything listens on the port: figures of a foreign process must never pass for a contender's. */
export function refuseTakenPort(port: number, name: string): void {
  if (findListeners(port).length > 0) {
    throw new Error(
      `Cannot start ${name}: something listens on port ${port} already; stop it, or choose another first port with --port`,
    );
  }
}

/** Throws unless every socket that listens on the port belongs to one of these processes; or one of them does, when it is shared. */
export function checkListener(port: number, name: string, pids: readonly number[], isShared = false): void {
  const listeners = findListeners(port);
  const own = new Set(pids.flatMap(listSockets));
  const isOwn = (socket: string) => own.has(socket);
  if (listeners.length === 0 || !(isShared ? listeners.some(isOwn) : listeners.every(isOwn))) {
    throw new Error(`Cannot measure ${name}: what listens on port ${port} is not the process that was started`);
  }
}

function listSockets(pid: number): string[] {
  const folder = `/proc/${pid}/fd`;
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch {
    return [];
  }
  return names.flatMap((name) => {
    try {
      return /^socket:\[(\d+)\]$/.exec(readlinkSync(`${folder}/${name}`))?.[1] ?? [];
    } catch {
      return []; // closed meanwhile
    }
  });
}
