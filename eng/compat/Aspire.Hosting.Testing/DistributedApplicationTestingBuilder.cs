using System.Diagnostics.CodeAnalysis;
using System.Reflection;
using System.Runtime.CompilerServices;
using Aspire.Hosting.ApplicationModel;
using Aspire.Hosting.Eventing;
using Aspire.Hosting.Pipelines;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

#pragma warning disable ASPIREPIPELINES001
namespace Aspire.Hosting.Testing;

/// <summary>Builds an AppHost's application for a test: its own program runs up to <c>Build</c> and then waits for the test.</summary>
public static class DistributedApplicationTestingBuilder
{
    public static Task<IDistributedApplicationTestingBuilder> CreateAsync<TEntryPoint>(CancellationToken cancellationToken = default)
        where TEntryPoint : class => CreateAsync<TEntryPoint>([], Nothing, cancellationToken);

    public static Task<IDistributedApplicationTestingBuilder> CreateAsync(Type entryPoint, CancellationToken cancellationToken = default) =>
        CreateAsync(entryPoint, [], Nothing, cancellationToken);

    public static Task<IDistributedApplicationTestingBuilder> CreateAsync<TEntryPoint>(string[] args, CancellationToken cancellationToken = default)
        where TEntryPoint : class => CreateAsync<TEntryPoint>(args, Nothing, cancellationToken);

    public static Task<IDistributedApplicationTestingBuilder> CreateAsync(Type entryPoint, string[] args, CancellationToken cancellationToken = default) =>
        CreateAsync(entryPoint, args, Nothing, cancellationToken);

    public static Task<IDistributedApplicationTestingBuilder> CreateAsync<TEntryPoint>(
        string[] args, Action<DistributedApplicationOptions, HostApplicationBuilderSettings> configureBuilder, CancellationToken cancellationToken = default) =>
        CreateAsync(typeof(TEntryPoint), args, configureBuilder, cancellationToken);

    public static async Task<IDistributedApplicationTestingBuilder> CreateAsync(
        Type entryPoint, string[] args, Action<DistributedApplicationOptions, HostApplicationBuilderSettings> configureBuilder, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(configureBuilder);
        var run = new EntryPointRun(entryPoint, args, configureBuilder);
        var builder = await run.WaitForBuilderAsync(cancellationToken).ConfigureAwait(false);
        return new EntryPointTestingBuilder(builder, run);
    }

    /// <summary>An application with no AppHost behind it: the test adds the resources.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public static IDistributedApplicationTestingBuilder Create(params string[] args) => new OwnTestingBuilder(args, Nothing, Assembly.GetCallingAssembly());

    [MethodImpl(MethodImplOptions.NoInlining)]
    public static IDistributedApplicationTestingBuilder Create(string[] args, Action<DistributedApplicationOptions, HostApplicationBuilderSettings> configureBuilder) =>
        new OwnTestingBuilder(args, configureBuilder, Assembly.GetCallingAssembly());

    private static void Nothing(DistributedApplicationOptions options, HostApplicationBuilderSettings settings)
    {
    }

    private sealed class OwnTestingBuilder : TestingBuilder
    {
        public OwnTestingBuilder(string[] args, Action<DistributedApplicationOptions, HostApplicationBuilderSettings> configureBuilder, Assembly caller)
            : base(Make(args, configureBuilder, caller))
        {
        }

        public override Task<DistributedApplication> BuildAsync(CancellationToken cancellationToken) => Task.FromResult(Inner.Build());

        public override ValueTask DisposeAsync() => ValueTask.CompletedTask;

        private static IDistributedApplicationBuilder Make(string[] args, Action<DistributedApplicationOptions, HostApplicationBuilderSettings> configureBuilder, Assembly caller)
        {
            var defaults = new TestDefaults(caller, args, configureBuilder);
            BuilderObserver.Current.Value = defaults;
            try
            {
                var builder = DistributedApplication.CreateBuilder(new DistributedApplicationOptions());
                builder.Services.AddHostedService<ResourceLogForwarder>();
                return builder;
            }
            finally
            {
                BuilderObserver.Current.Value = null;
            }
        }
    }

    private sealed class EntryPointTestingBuilder(IDistributedApplicationBuilder inner, EntryPointRun run) : TestingBuilder(inner)
    {
        public override Task<DistributedApplication> BuildAsync(CancellationToken cancellationToken) => run.BuildAsync(cancellationToken);

        public override ValueTask DisposeAsync() => run.DisposeAsync();
    }
}

public interface IDistributedApplicationTestingBuilder : IDistributedApplicationBuilder, IAsyncDisposable, IDisposable
{
    Task<DistributedApplication> BuildAsync(CancellationToken cancellationToken = default);
}

internal abstract class TestingBuilder(IDistributedApplicationBuilder inner) : IDistributedApplicationTestingBuilder
{
    public ConfigurationManager Configuration => Inner.Configuration;

    public string AppHostDirectory => Inner.AppHostDirectory;

    public Assembly? AppHostAssembly => Inner.AppHostAssembly;

    public IHostEnvironment Environment => Inner.Environment;

    public IServiceCollection Services => Inner.Services;

    public IDistributedApplicationEventing Eventing => Inner.Eventing;

    public DistributedApplicationExecutionContext ExecutionContext => Inner.ExecutionContext;

    public IResourceCollection Resources => Inner.Resources;

    [Experimental("ASPIREPIPELINES001")]
    public IDistributedApplicationPipeline Pipeline => Inner.Pipeline;

    protected IDistributedApplicationBuilder Inner { get; } = inner;

    public IResourceBuilder<T> AddResource<T>(T resource)
        where T : IResource => Inner.AddResource(resource);

    public IResourceBuilder<T> CreateResourceBuilder<T>(T resource)
        where T : IResource => Inner.CreateResourceBuilder(resource);

    public DistributedApplication Build() => BuildAsync(CancellationToken.None).GetAwaiter().GetResult();

    public abstract Task<DistributedApplication> BuildAsync(CancellationToken cancellationToken = default);

    public void Dispose() => DisposeAsync().AsTask().GetAwaiter().GetResult();

    public abstract ValueTask DisposeAsync();
}
