using System.Collections.Immutable;
using System.Diagnostics.CodeAnalysis;

namespace Aspire.Hosting.ApplicationModel;

public static class ResourceExtensions
{
    public static bool TryGetLastAnnotation<T>(this IResource resource, [NotNullWhen(true)] out T? annotation)
        where T : IResourceAnnotation
    {
        annotation = resource.Annotations.OfType<T>().LastOrDefault();
        return annotation is not null;
    }

    public static bool TryGetAnnotationsOfType<T>(this IResource resource, [NotNullWhen(true)] out IEnumerable<T>? result)
        where T : IResourceAnnotation
    {
        var all = resource.Annotations.OfType<T>().ToList();
        result = all.Count > 0 ? all : null;
        return result is not null;
    }

    public static bool HasAnnotationOfType<T>(this IResource resource)
        where T : IResourceAnnotation => resource.Annotations.OfType<T>().Any();

    public static bool TryGetEnvironmentVariables(this IResource resource, [NotNullWhen(true)] out IEnumerable<EnvironmentCallbackAnnotation>? environmentVariables) =>
        resource.TryGetAnnotationsOfType(out environmentVariables);

    public static bool TryGetEndpoints(this IResource resource, [NotNullWhen(true)] out IEnumerable<EndpointAnnotation>? endpoints) =>
        resource.TryGetAnnotationsOfType(out endpoints);

    public static bool TryGetContainerImageName(this IResource resource, [NotNullWhen(true)] out string? imageName)
    {
        imageName = resource.TryGetLastAnnotation<ContainerImageAnnotation>(out var image)
            ? $"{(image.Registry is null ? "" : image.Registry + "/")}{image.Image}:{image.Tag ?? "latest"}"
            : null;
        return imageName is not null;
    }

    public static int GetReplicaCount(this IResource resource) =>
        resource.TryGetLastAnnotation<ReplicaAnnotation>(out var replicas) ? replicas.Replicas : 1;

    public static bool IsExcludedFromPublish(this IResource resource) => resource.HasAnnotationOfType<ManifestExclusionAnnotation>();

    internal static IReadOnlyList<string> GetInstanceNames(this IResource resource) =>
        resource.TryGetLastAnnotation<InstancesAnnotation>(out var instances) ? instances.Names : [resource.Name];

    /// <summary>Whether DCP runs it as processes or containers.</summary>
    internal static bool IsRunByDcp(this IResource resource) => resource is ProjectResource or ExecutableResource or ContainerResource;

    internal static CustomResourceSnapshot InitialSnapshot(this IResource resource) =>
        resource.TryGetLastAnnotation<InitialSnapshotAnnotation>(out var initial)
            ? initial.Snapshot
            : new CustomResourceSnapshot
            {
                ResourceType = resource switch
                {
                    ProjectResource => KnownResourceTypes.Project,
                    ContainerResource => KnownResourceTypes.Container,
                    ConnectionStringParameterResource => KnownResourceTypes.ConnectionString,
                    ParameterResource => KnownResourceTypes.Parameter,
                    ExecutableResource => KnownResourceTypes.Executable,
                    _ => resource.GetType().Name.EndsWith("Resource", StringComparison.Ordinal) ? resource.GetType().Name[..^8] : resource.GetType().Name,
                },
                Properties = [],
                Relationships = resource.Relationships(),
            };

    internal static ImmutableArray<RelationshipSnapshot> Relationships(this IResource resource)
    {
        var relationships = resource.Annotations.OfType<ResourceRelationshipAnnotation>().Select(r => new RelationshipSnapshot(r.Resource.Name, r.Type));
        if (resource is IResourceWithParent child)
            relationships = relationships.Prepend(new RelationshipSnapshot(child.Parent.Name, "Parent"));
        return [.. relationships.Distinct()];
    }
}
