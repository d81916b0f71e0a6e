using Aspire.Hosting;
using k8s.Models;

namespace Platform.AppHost.Kubernetes;

/// <summary>The <c>env</c> of a container: the variables that contain a secret. A value can only refer to variables defined before it.</summary>
internal static class ContainerEnvironment
{
    /// <exception cref="DistributedApplicationException">A secret that is part of another value needs a variable whose name is taken.</exception>
    public static IReadOnlyList<V1EnvVar> Of(PublishedService service)
    {
        var embedded = EmbeddedSecrets(service, service.Variables);
        return
        [
            .. embedded.Select(secret => Entry(secret.Variable, secret)),
            .. service.Variables.Where(variable => embedded.All(secret => secret.Variable != variable.Name)).Select(Entry),
        ];
    }

    /// <summary>The secrets that are part of a longer value. Each needs a variable of its own that the value can refer to.</summary>
    /// <exception cref="DistributedApplicationException">The name of that variable is taken.</exception>
    public static IReadOnlyList<SecretKey> EmbeddedSecrets(PublishedService service, IEnumerable<PublishedVariable> variables)
    {
        var secrets = variables.Where(variable => variable.Value.Parts is not [SecretKey]).SelectMany(variable => variable.Value.Secrets)
            .DistinctBy(secret => secret.Variable).OrderBy(secret => secret.Variable, StringComparer.Ordinal).ToList();
        foreach (var secret in secrets)
        {
            if (service.Settings.Concat(service.Variables).Any(variable => variable.Name == secret.Variable && !(variable.Value.Parts is [SecretKey same] && same == secret)))
            {
                throw new DistributedApplicationException(
                    $"'{service.Name}' can't be published: a variable contains the secret '{secret.Secret}', which needs the variable {secret.Variable} for itself; rename the variable that has this name.");
            }
        }

        return secrets;
    }

    public static V1EnvVar Entry(PublishedVariable variable) => variable.Value.Parts is [SecretKey secret]
        ? Entry(variable.Name, secret)
        : new() { Name = variable.Name, Value = variable.Value.Expandable };

    public static V1EnvVar Entry(string name, SecretKey secret) =>
        new() { Name = name, ValueFrom = new() { SecretKeyRef = new() { Name = secret.Secret, Key = secret.Key } } };
}
