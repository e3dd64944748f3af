// The scripted provider as a process of the development mesh: `WEIR_LISTEN` says where, default 127.0.0.1:7440. Loopback only,
// since anybody who reaches it can script it.
import { createScriptedProvider } from "./server.ts";

const [host = "", port = ""] = (process.env.WEIR_LISTEN ?? "127.0.0.1:7440").split(/:(?=\d+$)/);
if (!["127.0.0.1", "localhost", "[::1]"].includes(host)) {
  console.error(
    JSON.stringify({
      level: "error",
      service: "scripted-provider",
      msg: `Cannot listen on "${host}": it is not loopback`,
    }),
  );
  process.exit(1);
}

const server = createScriptedProvider();
server.listen(Number(port), host.replace(/[[\]]/g, ""), () => {
  console.log(
    JSON.stringify({ level: "info", service: "scripted-provider", msg: "Listening", address: `${host}:${port}` }),
  );
});

function stop(): void {
  server.close(() => process.exit(0));
  server.closeAllConnections();
}
process.once("SIGTERM", stop);
process.once("SIGINT", stop);
if (process.env.WEIR_SUPERVISED === "true") {
  process.stdin.resume();
  process.stdin.once("end", stop);
  process.stdin.once("error", stop);
}
