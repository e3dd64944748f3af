import { type MigrateWhenUpOptions, migrateWhenUp } from "../../shared/database/migrate.ts";

/** Brings policy's database to this build's schema, as `migrateWhenUp` does. */
export async function migrateStore(options: Omit<MigrateWhenUpOptions, "directory">): Promise<void> {
  await migrateWhenUp({ ...options, directory: `${import.meta.dirname}/migrations` });
}
