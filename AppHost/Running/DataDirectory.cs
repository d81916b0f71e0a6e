using Aspire.Hosting;
using Aspire.Hosting.ApplicationModel;
using Microsoft.Extensions.Configuration;

namespace Platform.AppHost.Running;

internal static class DataDirectoryExtensions
{
    /// <summary>Where this machine keeps what outlives a run: <c>DataDirectory</c>, or <c>.data</c> beside the solution.</summary>
    public static string DataDirectory(this IDistributedApplicationBuilder builder) =>
        Path.GetFullPath(builder.Configuration["DataDirectory"] ?? "../.data", builder.AppHostDirectory);

    /// <summary>
    /// Gives a resource a directory of its own there while it runs on this machine, and an empty one that goes with the pod in what is published.
    /// </summary>
    public static IResourceBuilder<T> WithLocalDirectory<T>(this IResourceBuilder<T> resource, string environmentVariable, string name)
        where T : IResourceWithEnvironment =>
        resource.ApplicationBuilder.ExecutionContext.IsRunMode
            ? resource.WithEnvironment(environmentVariable, Path.Combine(resource.ApplicationBuilder.DataDirectory(), name))
            : resource.WithAnnotation(new LocalDirectoryAnnotation(environmentVariable, name));
}

/// <summary>A directory that a resource may write to, and whose loss it survives.</summary>
internal sealed record LocalDirectoryAnnotation(string EnvironmentVariable, string Name) : IResourceAnnotation
{
    /// <summary>Where it is in a container, whose own files are read-only.</summary>
    public string MountPath => $"/var/cache/{Name}";
}
