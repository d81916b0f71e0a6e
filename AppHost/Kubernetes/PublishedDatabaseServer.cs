using Aspire.Hosting;
using Aspire.Hosting.ApplicationModel;

namespace Platform.AppHost.Kubernetes;

/// <summary>A PostgreSQL server of the app model, as it runs in the cluster.</summary>
/// <param name="Image">Image with registry and tag.</param>
/// <param name="Databases">Names of its databases.</param>
/// <param name="DataDirectory">Mount path of the volume; the image stores its data in a subdirectory.</param>
internal sealed record PublishedDatabaseServer(
    string Name, string Image, int Port, IReadOnlyList<PublishedVariable> Variables, IReadOnlyList<string> Databases, string DataDirectory)
{
    public static async Task<PublishedDatabaseServer> ReadAsync(PostgresServerResource server, DistributedApplicationModel model,
        DistributedApplicationExecutionContext executionContext, CancellationToken cancellationToken)
    {
        var context = new EnvironmentCallbackContext(executionContext, server, cancellationToken: cancellationToken);
        foreach (var annotation in server.Annotations.OfType<EnvironmentCallbackAnnotation>())
            await annotation.Callback(context);
        var values = new ValueTranslator(server, server);
        var variables = new List<PublishedVariable>();
        foreach (var (name, value) in context.EnvironmentVariables.OrderBy(variable => variable.Key, StringComparer.Ordinal))
            variables.Add(new(name, await values.TranslateAsync(name, value, cancellationToken)));

        if (!server.TryGetContainerImageName(out var image))
            throw new DistributedApplicationException($"'{server.Name}' can't be published: it has no image.");
        var volume = server.Annotations.OfType<ContainerMountAnnotation>().FirstOrDefault(mount => mount.Type is ContainerMountType.Volume)
            ?? throw new DistributedApplicationException($"'{server.Name}' can't be published: without a volume its data is lost with the pod; add WithDataVolume().");

        return new(
            server.Name,
            image,
            PublishedPort.Of(server.PrimaryEndpoint).ContainerPort,
            variables,
            [.. model.Resources.OfType<PostgresDatabaseResource>().Where(database => database.Parent == server).Select(database => database.DatabaseName).Order(StringComparer.Ordinal)],
            volume.Target);
    }
}
