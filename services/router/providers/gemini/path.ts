/**
 * Path of a method of a model. A model is named as the policy has it, "gemini-2.5-pro"; a name with slashes is a resource of its own,
 * such as "tunedModels/mine". Each segment is encoded.
 */
export function toPath(model: string, method: string): string {
  return `/${toResource(model).split("/").map(encodeURIComponent).join("/")}:${method}`;
}

/** A model's name as a resource, such as "models/gemini-2.5-pro". */
export function toResource(model: string): string {
  return model.includes("/") ? model : `models/${model}`;
}
