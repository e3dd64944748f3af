/**
 * Shapes of secrets: our virtual keys (`weir_<environment>_<id>_<secret>_<crc>`), our note signing keys, provider keys
 * (OpenAI and Anthropic `sk-…`, Google `AIza…`, AWS access key ids, Groq `gsk_…`, xAI `xai-…`, Hugging Face `hf_…`), whatever follows
 * "Bearer", PEM private keys, JWTs, and the password within a URL.
 */
const SECRETS =
  /weir_[a-z0-9-]{1,32}_[a-z2-7]{12}_[A-Za-z0-9_-]+|PRIVATE\+KEY\+[^\s"\\]+|\bsk-[A-Za-z0-9_-]{8,}|\bAIza[A-Za-z0-9_-]{20,}|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bgsk_[A-Za-z0-9]{16,}|\bxai-[A-Za-z0-9]{16,}|\bhf_[A-Za-z0-9]{16,}|(?<=\bBearer\s)[^\s"\\]+|-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*(?:-----END [A-Z ]*PRIVATE KEY-----)?|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*|(?<=:\/\/[^\s:/@"]{0,256}:)[^\s/@"]+(?=@)/gi;

/** Replaces what is shaped like a secret by `[secret]`. The last line of defence: do not hand secrets to a log at all. */
export function scrub(text: string): string {
  return text.replace(SECRETS, "[secret]");
}
