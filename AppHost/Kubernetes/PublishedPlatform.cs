using System.Reflection;
using Aspire.Hosting;
using Aspire.Hosting.ApplicationModel;

namespace Platform.AppHost.Kubernetes;

/// <summary>The app model in Kubernetes's terms.</summary>
/// <param name="Version">Version of the platform, and tag of its images.</param>
/// <param name="Services">A Deployment each.</param>
/// <param name="Databases">PostgreSQL servers: a StatefulSet each where the component is used, else external.</param>
internal sealed record PublishedPlatform(string Version, IReadOnlyList<PublishedService> Services, IReadOnlyList<PublishedDatabaseServer> Databases)
{
    /// <summary>Secrets that must exist, whichever overlay is used.</summary>
    public IEnumerable<SecretKey> Secrets => Services.SelectMany(service => service.Variables).SelectMany(variable => variable.Value.Secrets)
        .DistinctBy(secret => secret.Secret).OrderBy(secret => secret.Secret, StringComparer.Ordinal);

    /// <summary>Where connection strings lead that no resource of the app model stands for in the cluster, by the server's name.</summary>
    public IEnumerable<IGrouping<(string Server, int? Port), PublishedService>> Connections => Services
        .SelectMany(service => service.Connections, (service, connection) => (service, connection))
        .GroupBy(pair => (pair.connection.Server, pair.connection.Port), pair => pair.service)
        .OrderBy(group => group.Key.Server, StringComparer.Ordinal);

    /// <exception cref="DistributedApplicationException">Something in the model has no counterpart: the message names the resource, and the variable.</exception>
    public static async Task<PublishedPlatform> ReadAsync(
        DistributedApplicationModel model, DistributedApplicationExecutionContext executionContext, CancellationToken cancellationToken)
    {
        var services = new List<PublishedService>();
        var databases = new List<PublishedDatabaseServer>();
        foreach (var resource in model.Resources.Where(resource => !resource.IsExcludedFromPublish()).OrderBy(resource => resource.Name, StringComparer.Ordinal))
        {
            if (resource is (ProjectResource or PostgresServerResource) && resource.Name.Any(char.IsAsciiLetterUpper))
                throw new DistributedApplicationException($"'{resource.Name}' can't be published: names in Kubernetes are in lower case.");

            switch (resource)
            {
                case ProjectResource project:
                    services.Add(await PublishedService.ReadAsync(project, executionContext, cancellationToken));
                    break;
                case PostgresServerResource server:
                    databases.Add(await PublishedDatabaseServer.ReadAsync(server, model, executionContext, cancellationToken));
                    break;
                case ParameterResource or PostgresDatabaseResource:
                    break;
                default:
                    throw new DistributedApplicationException(
                        $"'{resource.Name}' can't be published: it is a {resource.GetType().Name}, and there are manifests for projects, PostgreSQL and parameters only.");
            }
        }

        return new(VersionOf(typeof(PublishedPlatform).Assembly), services, databases);
    }

    /// <summary>The version that <c>Directory.Build.props</c> gives to everything, without the commit.</summary>
    private static string VersionOf(Assembly assembly) =>
        assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()!.InformationalVersion.Split('+')[0];
}
