using System.Diagnostics.CodeAnalysis;
using Aspire.Hosting.ApplicationModel;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

#pragma warning disable ASPIREPIPELINES001, ASPIREPIPELINES004
namespace Aspire.Hosting.Pipelines;

/// <summary>What publishing does: named steps, each after those it depends on.</summary>
[Experimental("ASPIREPIPELINES001")]
public interface IDistributedApplicationPipeline
{
    /// <param name="dependsOn">A step's name, or several, that must be done first.</param>
    /// <param name="requiredBy">A step's name, or several, that must not start before this one is done.</param>
    void AddStep(string name, Func<PipelineStepContext, Task> action, object? dependsOn = null, object? requiredBy = null);

    Task ExecuteAsync(PipelineContext context);
}

[Experimental("ASPIREPIPELINES001")]
public sealed class PipelineContext(
    DistributedApplicationModel model, DistributedApplicationExecutionContext executionContext, IServiceProvider serviceProvider, ILogger logger, CancellationToken cancellationToken)
{
    public DistributedApplicationModel Model { get; } = model;

    public DistributedApplicationExecutionContext ExecutionContext { get; } = executionContext;

    public IServiceProvider Services { get; } = serviceProvider;

    public ILogger Logger { get; } = logger;

    public CancellationToken CancellationToken { get; set; } = cancellationToken;
}

[Experimental("ASPIREPIPELINES001")]
public sealed class PipelineStepContext
{
    public required PipelineContext PipelineContext { get; init; }

    public DistributedApplicationModel Model => PipelineContext.Model;

    public DistributedApplicationExecutionContext ExecutionContext => PipelineContext.ExecutionContext;

    public IServiceProvider Services => PipelineContext.Services;

    public ILogger Logger => PipelineContext.Logger;

    public CancellationToken CancellationToken => PipelineContext.CancellationToken;
}

[Experimental("ASPIREPIPELINES001")]
public static class WellKnownPipelineSteps
{
    public const string Publish = "publish";
    public const string PublishPrereq = "publish-prereq";
    public const string Deploy = "deploy";
    public const string DeployPrereq = "deploy-prereq";
    public const string ProcessParameters = "process-parameters";
    public const string Build = "build";
    public const string BuildPrereq = "build-prereq";
    public const string BeforeStart = "before-start";
}

[Experimental("ASPIREPIPELINES004")]
public interface IPipelineOutputService
{
    /// <summary><c>--output-path</c>, or <c>aspire-output</c> in the current folder.</summary>
    string GetOutputDirectory();

    string GetOutputDirectory(IResource resource);
}

internal sealed class PipelineOutputService(string? outputPath) : IPipelineOutputService
{
    private readonly string _directory = Path.GetFullPath(string.IsNullOrEmpty(outputPath) ? "aspire-output" : outputPath);

    public string GetOutputDirectory() => _directory;

    public string GetOutputDirectory(IResource resource) => Path.Combine(_directory, resource.Name);
}

internal sealed class DistributedApplicationPipeline : IDistributedApplicationPipeline
{
    private readonly Dictionary<string, Step> _steps = new(StringComparer.Ordinal);

    public DistributedApplicationPipeline()
    {
        foreach (var (name, after) in new (string, string[])[]
        {
            (WellKnownPipelineSteps.ProcessParameters, []),
            (WellKnownPipelineSteps.PublishPrereq, [WellKnownPipelineSteps.ProcessParameters]),
            (WellKnownPipelineSteps.Publish, [WellKnownPipelineSteps.PublishPrereq]),
            (WellKnownPipelineSteps.BuildPrereq, [WellKnownPipelineSteps.ProcessParameters]),
            (WellKnownPipelineSteps.Build, [WellKnownPipelineSteps.BuildPrereq]),
            (WellKnownPipelineSteps.DeployPrereq, [WellKnownPipelineSteps.ProcessParameters]),
            (WellKnownPipelineSteps.Deploy, [WellKnownPipelineSteps.DeployPrereq]),
        })
        {
            _steps.Add(name, new Step(name, _ => Task.CompletedTask, [.. after], []));
        }
    }

    public void AddStep(string name, Func<PipelineStepContext, Task> action, object? dependsOn = null, object? requiredBy = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        ArgumentNullException.ThrowIfNull(action);
        if (!_steps.TryAdd(name, new Step(name, action, Names(dependsOn, nameof(dependsOn)), Names(requiredBy, nameof(requiredBy)))))
            throw new InvalidOperationException($"A step with the name '{name}' has already been added to the pipeline.");
    }

    /// <summary>Runs the step that <c>--step</c> names and those it needs, or every step.</summary>
    public async Task ExecuteAsync(PipelineContext context)
    {
        var wanted = context.Services.GetRequiredService<PipelineOptions>().Step;
        var dependencies = Dependencies();
        if (wanted is not null && !dependencies.ContainsKey(wanted))
            throw new InvalidOperationException($"Step '{wanted}' not found in pipeline. Available steps: {string.Join(", ", _steps.Keys.Order(StringComparer.Ordinal))}.");

        var running = new Dictionary<string, Task>(StringComparer.Ordinal);
        await Task.WhenAll((wanted is null ? dependencies.Keys.ToArray() : [wanted]).Select(name => RunAsync(name, []))).ConfigureAwait(false);

        Task RunAsync(string name, List<string> path)
        {
            if (path.Contains(name))
                throw new InvalidOperationException($"Circular dependency detected in pipeline steps: {string.Join(" → ", path.Append(name))}.");
            if (running.TryGetValue(name, out var existing))
                return existing;
            var before = dependencies[name].Select(d => RunAsync(d, [.. path, name])).ToArray();
            return running[name] = ExecuteAfterAsync(before);

            async Task ExecuteAfterAsync(Task[] before)
            {
                await Task.WhenAll(before).ConfigureAwait(false);
                context.CancellationToken.ThrowIfCancellationRequested();
                await _steps[name].Action(new PipelineStepContext { PipelineContext = context }).ConfigureAwait(false);
            }
        }
    }

    private Dictionary<string, HashSet<string>> Dependencies()
    {
        var dependencies = _steps.Values.ToDictionary(s => s.Name, s => s.DependsOn.ToHashSet(StringComparer.Ordinal), StringComparer.Ordinal);
        foreach (var step in _steps.Values)
        {
            foreach (var unknown in step.DependsOn.Concat(step.RequiredBy).Where(n => !_steps.ContainsKey(n)))
                throw new InvalidOperationException($"Step '{step.Name}' names the step '{unknown}', which does not exist.");
            foreach (var dependent in step.RequiredBy)
                dependencies[dependent].Add(step.Name);
        }

        return dependencies;
    }

    private static string[] Names(object? names, string parameter) => names switch
    {
        null => [],
        string name => [name],
        IEnumerable<string> several => [.. several],
        _ => throw new ArgumentException("Must be a step's name or several.", parameter),
    };

    private sealed record Step(string Name, Func<PipelineStepContext, Task> Action, string[] DependsOn, string[] RequiredBy);
}

internal sealed record PipelineOptions(string? Step);
