// `npm start` is `weir up`, and `npm start -- demo` is `weir demo`: any known command is taken as it stands, everything else goes to up.
import { createProgram } from "./program.ts";

const program = createProgram();
const [first] = process.argv.slice(2);
const isCommand = program.commands.some((command) => command.name() === first) || first === "help";
await program.parseAsync(isCommand ? process.argv.slice(2) : ["up", ...process.argv.slice(2)], { from: "user" });
