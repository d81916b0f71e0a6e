using Microsoft.Extensions.Options;
using Platform.StoreDeployer.Releases;
using Platform.StoreDeployer.Rendering;
using Platform.StoreDeployer.Stores;

namespace Platform.StoreDeployer.Deployments;

/// <summary>Runs the steps before activation: a deployment builds a new release, a rollback finds an existing one.</summary>
internal sealed class PrepareRelease(
    TemplateCache templates, IOptions<StoreOptions> options, StoreRelease storeRelease, CheckRelease checkRelease, FindRelease findRelease, TimeProvider time)
{
    /// <returns>The id of the release to activate.</returns>
    public Task<Guid> ExecuteAsync(DeploymentJob job, StepProgress progress) =>
        job.Kind == DeploymentKind.Rollback ? RollBackAsync(job, progress) : BuildAsync(job, progress);

    private async Task<Guid> BuildAsync(DeploymentJob job, StepProgress progress)
    {
        var template = await progress.RunAsync("fetch", cancellationToken => templates.FetchAsync(job.TemplateDigest!, cancellationToken));
        var store = job.Shop.ToStore(job.Slug, options.Value.UrlOf(job.Slug));
        var files = await progress.RunAsync("render", cancellationToken => Task.FromResult(template.Value.Render(store, time, cancellationToken)));
        var release = await progress.RunAsync("store", cancellationToken => storeRelease.ExecuteAsync(job, files, cancellationToken));
        await progress.RunAsync("verify", async cancellationToken =>
        {
            StoreLinks.Check(files, store.RootPath);
            await checkRelease.ExecuteAsync(release, cancellationToken);
            return release;
        });
        return release;
    }

    private Task<Guid> RollBackAsync(DeploymentJob job, StepProgress progress) => progress.RunAsync("verify", async cancellationToken =>
    {
        var release = await findRelease.ExecuteAsync(job, cancellationToken);
        await checkRelease.ExecuteAsync(release, cancellationToken);
        return release;
    });
}
