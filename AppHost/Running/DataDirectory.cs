using Aspire.Hosting;
using Aspire.Hosting.ApplicationModel;
using Microsoft.Extensions.Configuration;

namespace Platform.AppHost.Running;

internal static class DataDirectoryExtensions
{
    /// <summary>The directory for data that is kept between runs: <c>DataDirectory</c>, or <c>.data</c> beside the solution.</summary>
    public static string DataDirectory(this IDistributedApplicationBuilder builder) =>
        Path.GetFullPath(builder.Configuration["DataDirectory"] ?? "../.data", builder.AppHostDirectory);

    /// <summary>
    /// Gives a resource a writable directory: in run mode a subdirectory of the data directory, when published an emptyDir volume, which is deleted with the pod.
    /// </summary>
    public static IResourceBuilder<T> WithLocalDirectory<T>(this IResourceBuilder<T> resource, string environmentVariable, string name)
        where T : IResourceWithEnvironment =>
        resource.ApplicationBuilder.ExecutionContext.IsRunMode
            ? resource.WithEnvironment(environmentVariable, Path.Combine(resource.ApplicationBuilder.DataDirectory(), name))
            : resource.WithAnnotation(new LocalDirectoryAnnotation(environmentVariable, name));
}

/// <summary>A writable directory whose contents may be lost, such as a cache.</summary>
internal sealed record LocalDirectoryAnnotation(string EnvironmentVariable, string Name) : IResourceAnnotation
{
    /// <summary>Where it is in a container, whose own files are read-only.</summary>
    public string MountPath => $"/var/cache/{Name}";
}
