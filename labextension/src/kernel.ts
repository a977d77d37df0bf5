/** What the kernel of a notebook is asked, silently: nothing is printed, stored or counted. */

import type { ISessionContext } from '@jupyterlab/apputils';
import type { Kernel } from '@jupyterlab/services';

/** A model variable of the kernel. */
export interface IModelVariable {
  name: string;
  kind: string;
  parameters: number;
}

/** What the kernel says of itself. */
export interface IKernelFacts {
  /** The version of sm_magics in it; null where it is not installed. */
  version: string | null;
  /** Whether the magics are loaded. */
  isLoaded: boolean;
}

// The answer travels as hexadecimal JSON: what IPython shows of a value is a Python literal, cut where it is long.
const wrapped = (expression: string) =>
  `__import__("json").dumps(${expression}).encode().hex()`;

const FACTS = wrapped(
  `{"version": next((d.version for d in __import__("importlib.metadata").metadata.distributions(name="sm-magics")), None), ` +
    `"isLoaded": "sm_deploy" in get_ipython().magics_manager.magics["line"]}`
);

// As the magics know a model: by its class's ancestors. Nothing is imported.
const MODELS = wrapped(
  `[{"name": n, "kind": type(v).__name__, "parameters": sum(p.numel() for p in v.parameters())} ` +
    `for n, v in list(get_ipython().user_ns.items()) if not n.startswith("_") and ` +
    `any(k.__name__ == "Module" and k.__module__ == "torch.nn.modules.module" for k in type(v).__mro__)]`
);

/** What the kernel says of itself, null where it is no Python that can be asked. */
export async function askFacts(
  context: ISessionContext
): Promise<IKernelFacts | null> {
  return ask<IKernelFacts>(context, FACTS);
}

/** The kernel's model variables; null if it cannot be asked. */
export async function askModels(
  context: ISessionContext
): Promise<IModelVariable[] | null> {
  return ask<IModelVariable[]>(context, MODELS);
}

async function ask<T>(
  context: ISessionContext,
  expression: string
): Promise<T | null> {
  const kernel = context.session?.kernel;
  if (!kernel || !(await isPython(kernel))) {
    return null;
  }
  const future = kernel.requestExecute(
    {
      code: '',
      silent: true,
      store_history: false,
      allow_stdin: false,
      user_expressions: { answer: expression }
    },
    true
  );
  const content = (await future.done).content;
  if (content.status !== 'ok') {
    return null;
  }
  return decoded<T>(content.user_expressions?.answer);
}

async function isPython(kernel: Kernel.IKernelConnection): Promise<boolean> {
  return (await kernel.info).language_info.name === 'python';
}

/** The value of a user expression that was `wrapped`; null if it raised. */
export function decoded<T>(answer: unknown): T | null {
  const { status, data } = (answer ?? {}) as {
    status?: string;
    data?: Record<string, string>;
  };
  const hex = /^'([0-9a-f]*)'$/.exec(data?.['text/plain'] ?? '')?.[1];
  if (status !== 'ok' || hex === undefined) {
    return null;
  }
  const pairs = hex.match(/../g) ?? [];
  const bytes = Uint8Array.from(pairs, pair => parseInt(pair, 16));
  return JSON.parse(new TextDecoder().decode(bytes)) as T;
}
