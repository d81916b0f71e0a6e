using System.Collections;
using System.Collections.ObjectModel;
using System.Diagnostics.CodeAnalysis;
using System.Text.RegularExpressions;
using Aspire.Hosting.ApplicationModel;

namespace Aspire.Hosting.ApplicationModel
{
    /// <summary>Something the application is made of: a service, a database, a parameter.</summary>
    public interface IResource
    {
        string Name { get; }

        ResourceAnnotationCollection Annotations { get; }
    }

    /// <summary>A fact about a resource.</summary>
    public interface IResourceAnnotation;

    public sealed class ResourceAnnotationCollection : Collection<IResourceAnnotation>
    {
        private readonly Lock _lock = new();

        public ResourceAnnotationCollection()
            : base(new SnapshotList())
        {
        }

        protected override void InsertItem(int index, IResourceAnnotation item)
        {
            lock (_lock)
                base.InsertItem(Math.Min(index, Count), item);
        }

        protected override void RemoveItem(int index)
        {
            lock (_lock)
                base.RemoveItem(index);
        }

        protected override void SetItem(int index, IResourceAnnotation item)
        {
            lock (_lock)
                base.SetItem(index, item);
        }

        protected override void ClearItems()
        {
            lock (_lock)
                base.ClearItems();
        }

        // The model is read by many tasks while callbacks still add to it: each change replaces the array that readers hold.
        private sealed class SnapshotList : IList<IResourceAnnotation>
        {
            private volatile IResourceAnnotation[] _items = [];

            public int Count => _items.Length;

            public bool IsReadOnly => false;

            public IResourceAnnotation this[int index]
            {
                get => _items[index];
                set => _items = [.. _items[..index], value, .. _items[(index + 1)..]];
            }

            public void Add(IResourceAnnotation item) => _items = [.. _items, item];

            public void Clear() => _items = [];

            public bool Contains(IResourceAnnotation item) => _items.Contains(item);

            public void CopyTo(IResourceAnnotation[] array, int arrayIndex) => _items.CopyTo(array, arrayIndex);

            public IEnumerator<IResourceAnnotation> GetEnumerator() => ((IEnumerable<IResourceAnnotation>)_items).GetEnumerator();

            public int IndexOf(IResourceAnnotation item) => Array.IndexOf(_items, item);

            public void Insert(int index, IResourceAnnotation item) => _items = [.. _items[..index], item, .. _items[index..]];

            public bool Remove(IResourceAnnotation item)
            {
                var index = IndexOf(item);
                if (index < 0)
                    return false;
                RemoveAt(index);
                return true;
            }

            public void RemoveAt(int index) => _items = [.. _items[..index], .. _items[(index + 1)..]];

            IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();
        }
    }

    public abstract partial class Resource : IResource
    {
        protected Resource(string name)
        {
            ArgumentException.ThrowIfNullOrEmpty(name);
            if (name.Length > 64)
                throw new ArgumentException($"Resource name '{name}' is invalid. Name must be between 1 and 64 characters long.", nameof(name));
            if (!NamePattern().IsMatch(name))
            {
                throw new ArgumentException(
                    $"Resource name '{name}' is invalid. Name must start with an ASCII letter, contain only ASCII letters, digits and single hyphens, and not end with a hyphen.",
                    nameof(name));
            }

            Name = name;
        }

        public virtual string Name { get; }

        public virtual ResourceAnnotationCollection Annotations { get; } = [];

        public override string ToString() => Name;

        [GeneratedRegex("^[A-Za-z](?:-?[A-Za-z0-9])*$", RegexOptions.CultureInvariant, 1000)]
        private static partial Regex NamePattern();
    }

    public interface IResourceCollection : IList<IResource>;

    public class DistributedApplicationModel
    {
        public DistributedApplicationModel(IResourceCollection resources) => Resources = resources;

        public DistributedApplicationModel(IEnumerable<IResource> resources) => Resources = new ResourceCollection(resources);

        public IResourceCollection Resources { get; }
    }

    internal sealed class ResourceCollection(IEnumerable<IResource> resources) : Collection<IResource>(resources.ToList()), IResourceCollection;

    public interface IResourceWithParent : IResource
    {
        IResource Parent { get; }
    }

    public interface IResourceWithParent<out T> : IResourceWithParent
        where T : IResource
    {
        new T Parent { get; }

        IResource IResourceWithParent.Parent => Parent;
    }

    public interface IResourceWithEnvironment : IResource;

    public interface IResourceWithArgs : IResource;

    public interface IResourceWithEndpoints : IResource;

    public interface IResourceWithWaitSupport : IResource;

    [Experimental("ASPIREPROBES001")]
    public interface IResourceWithProbes : IResource;

    public interface IResourceWithoutLifetime : IResource;

    public interface IComputeResource : IResource;

    public interface IResourceWithConnectionString : IResource, IManifestExpressionProvider, IValueProvider, IValueWithReferences
    {
        ReferenceExpression ConnectionStringExpression { get; }

        string? ConnectionStringEnvironmentVariable => null;

        string IManifestExpressionProvider.ValueExpression => $"{{{Name}.connectionString}}";

        IEnumerable<object> IValueWithReferences.References => [ConnectionStringExpression];

        ValueTask<string?> GetConnectionStringAsync(CancellationToken cancellationToken = default) =>
            ConnectionStringExpression.GetValueAsync(cancellationToken);

        IEnumerable<KeyValuePair<string, ReferenceExpression>> GetConnectionProperties() => [];

        ValueTask<string?> IValueProvider.GetValueAsync(CancellationToken cancellationToken) => GetConnectionStringAsync(cancellationToken);
    }

#pragma warning disable ASPIREPROBES001 // the interface is experimental, its implementers are not
    /// <summary>A .NET project of the solution, run from its build output.</summary>
    public class ProjectResource(string name)
        : Resource(name), IResourceWithEnvironment, IResourceWithArgs, IResourceWithServiceDiscovery, IResourceWithWaitSupport, IResourceWithProbes, IComputeResource;

    /// <summary>A program that is already on the machine.</summary>
    public class ExecutableResource : Resource, IResourceWithEnvironment, IResourceWithArgs, IResourceWithEndpoints, IResourceWithWaitSupport, IResourceWithProbes, IComputeResource
    {
        public ExecutableResource(string name, string command, string workingDirectory)
            : base(name)
        {
            ArgumentException.ThrowIfNullOrEmpty(command);
            ArgumentNullException.ThrowIfNull(workingDirectory);
            Command = command;
            WorkingDirectory = workingDirectory;
        }

        public string Command { get; }

        public string WorkingDirectory { get; }
    }

    /// <summary>A container image, run by the machine's container engine.</summary>
    public class ContainerResource(string name, string? entrypoint = null)
        : Resource(name), IResourceWithEnvironment, IResourceWithArgs, IResourceWithEndpoints, IResourceWithWaitSupport, IResourceWithProbes, IComputeResource
    {
        public string? Entrypoint { get; set; } = entrypoint;
    }
#pragma warning restore ASPIREPROBES001
}

namespace Aspire.Hosting
{
    public interface IResourceWithServiceDiscovery : IResourceWithEndpoints;

    public interface IProjectMetadata : IResourceAnnotation
    {
        string ProjectPath { get; }

        bool SuppressBuild => false;

        bool IsFileBasedApp => false;
    }
}
