using System.Reflection;
using Aspire.Hosting;
using Aspire.Hosting.ApplicationModel;

namespace Platform.AppHost.Kubernetes;

/// <summary>The app model in Kubernetes terms.</summary>
/// <param name="Version">Version of the platform, and tag of its images.</param>
/// <param name="Services">Each becomes a Deployment.</param>
/// <param name="Databases">PostgreSQL servers. Each becomes a StatefulSet in overlays with its component; other overlays use an external server.</param>
internal sealed record PublishedPlatform(string Version, IReadOnlyList<PublishedService> Services, IReadOnlyList<PublishedDatabaseServer> Databases)
{
    /// <summary>The services that have a public host.</summary>
    public IEnumerable<PublishedService> ServicesWithHost => Services.Where(service => service.External is not null);

    /// <summary>The Secrets that the services refer to in <c>base/</c>.</summary>
    public IEnumerable<SecretKey> Secrets => Services.SelectMany(service => service.Variables).SelectMany(variable => variable.Value.Secrets)
        .DistinctBy(secret => secret.Secret).OrderBy(secret => secret.Secret, StringComparer.Ordinal);

    /// <summary>The servers that connection strings lead to, each with the services that use it, ordered by name.</summary>
    public IEnumerable<IGrouping<(string Server, int? Port), PublishedService>> Connections => Services
        .SelectMany(service => service.Connections, (service, connection) => (service, connection))
        .GroupBy(pair => (pair.connection.Server, pair.connection.Port), pair => pair.service)
        .OrderBy(group => group.Key.Server, StringComparer.Ordinal);

    /// <exception cref="DistributedApplicationException">Something in the model can't be expressed in manifests. The message names the resource and the variable.</exception>
    public static async Task<PublishedPlatform> ReadAsync(
        DistributedApplicationModel model, DistributedApplicationExecutionContext executionContext, CancellationToken cancellationToken)
    {
        var services = new List<PublishedService>();
        var databases = new List<PublishedDatabaseServer>();
        foreach (var resource in model.Resources.Where(resource => !resource.IsExcludedFromPublish()).OrderBy(resource => resource.Name, StringComparer.Ordinal))
        {
            if (resource is (ProjectResource or PostgresServerResource) && resource.Name.Any(char.IsAsciiLetterUpper))
                throw new DistributedApplicationException($"'{resource.Name}' can't be published: names in Kubernetes must be lower case.");

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
                        $"'{resource.Name}' can't be published: it is of type {resource.GetType().Name}; only projects, PostgreSQL and parameters are supported.");
            }
        }

        // The version from Directory.Build.props, without the commit.
        var version = typeof(PublishedPlatform).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()!.InformationalVersion.Split('+')[0];
        return new(version, services, databases);
    }
}
