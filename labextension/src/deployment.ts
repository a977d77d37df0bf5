/** What is deployed and where, as the line of a magic. */

export interface IDeployment {
  /** A variable or an expression of the notebook. */
  model: string;
  endpoint: string;
  instance: string;
  /** The region that is shown, empty if there is none. */
  region: string;
}

/** The `%sm_deploy` that does it, without what goes without saying. */
export function command(of: IDeployment, standard: string): string {
  const model = of.model.trim();
  const instance = of.instance.trim() || standard;
  const words = ['%sm_deploy', /[\s"']/.test(model) ? quoted(model) : model];
  if (of.endpoint.trim()) {
    words.push('--endpoint-name', of.endpoint.trim());
  }
  if (instance !== standard) {
    words.push('--instance-type', instance);
  }
  if (instance !== 'local' && of.region) {
    words.push('--region', of.region);
  }
  return words.join(' ');
}

function quoted(expression: string): string {
  return `"${expression.replace(/(["\\])/g, '\\$1')}"`;
}
