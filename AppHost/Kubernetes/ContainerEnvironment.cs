using Aspire.Hosting;

namespace Platform.AppHost.Kubernetes;

/// <summary>The <c>env</c> of a container: what it takes from Secrets, and before that what other values are composed of.</summary>
internal static class ContainerEnvironment
{
    /// <exception cref="DistributedApplicationException">A variable has the name that a secret needs inside of another.</exception>
    public static IReadOnlyList<(string Name, object Entry)> Of(PublishedService service)
    {
        var composedOf = ComposedOf(service, service.Variables);
        return
        [
            .. composedOf.Select(secret => (secret.Variable, Entry(secret.Variable, secret))),
            .. service.Variables.Where(variable => composedOf.All(secret => secret.Variable != variable.Name)).Select(variable => (variable.Name, Entry(variable))),
        ];
    }

    /// <summary>The secrets that are a part of a value, each of which needs a variable of its own.</summary>
    /// <exception cref="DistributedApplicationException">The name of that variable is taken.</exception>
    public static IReadOnlyList<SecretKey> ComposedOf(PublishedService service, IEnumerable<PublishedVariable> variables)
    {
        var secrets = variables.Where(variable => variable.Value.Parts is not [SecretKey]).SelectMany(variable => variable.Value.Secrets)
            .DistinctBy(secret => secret.Variable).OrderBy(secret => secret.Variable, StringComparer.Ordinal).ToList();
        foreach (var secret in secrets)
        {
            if (service.Settings.Concat(service.Variables).Any(variable => variable.Name == secret.Variable && !(variable.Value.Parts is [SecretKey same] && same == secret)))
            {
                throw new DistributedApplicationException(
                    $"'{service.Name}' can't be published: other variables are composed of the secret '{secret.Secret}', for which {secret.Variable} must be free; give that variable another name.");
            }
        }

        return secrets;
    }

    public static object Entry(PublishedVariable variable) => variable.Value.Parts is [SecretKey secret]
        ? Entry(variable.Name, secret)
        : new { name = variable.Name, value = variable.Value.Expandable };

    public static object Entry(string name, SecretKey secret) =>
        new { name, valueFrom = new { secretKeyRef = new { name = secret.Secret, key = secret.Key } } };
}
