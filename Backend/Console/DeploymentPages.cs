using Microsoft.AspNetCore.Http.HttpResults;
using Platform.Backend.Console.Pages;
using Platform.Backend.Deployments;
using Platform.Backend.Shops;
using Platform.ServiceDefaults.Problems;

namespace Platform.Backend.Console;

/// <summary>The page of a deployment, and the forms that start, cancel and retry deployments.</summary>
internal static class DeploymentPages
{
    public static async Task<IResult> Show(
        Guid id, Guid deploymentId, FindShop findShop, FindDeployment findDeployment, TimeProvider time, CancellationToken cancellationToken)
    {
        if (await findShop.ExecuteAsync(id, cancellationToken, maxProducts: 0) is not { } shop
            || await findDeployment.ExecuteAsync(deploymentId, cancellationToken) is not { } deployment
            || deployment.ShopId != id)
            return Problem.NotFound("This shop has no such deployment.");

        return new PageResult<DeploymentPage>(new()
        {
            [nameof(DeploymentPage.Shop)] = shop,
            [nameof(DeploymentPage.Deployment)] = deployment,
            [nameof(DeploymentPage.RefreshSeconds)] = RefreshInterval.Seconds([deployment], shop, time.GetUtcNow()),
        });
    }

    public static Task<Results<Accepted<Deployment>, ValidationProblem, ProblemHttpResult>> Deploy(
        Guid id, RequestDeployment request, CancellationToken cancellationToken) =>
        request.ExecuteAsync(id, new DeploymentInput(), cancellationToken);

    public static async Task<Results<Accepted<Deployment>, ValidationProblem, ProblemHttpResult>> RollBack(
        Guid id, HttpRequest request, RollBackShop rollBack, CancellationToken cancellationToken)
    {
        if ((await request.ReadFormAsync(cancellationToken))["release"] is not [{ } text] || !Guid.TryParse(text, out var release))
            return Problem.BadRequest("The form does not name the release to roll back to.");
        return await rollBack.ExecuteAsync(id, new RollbackInput { Release = release }, cancellationToken);
    }

    public static Task<Results<Accepted<Deployment>, ProblemHttpResult>> Cancel(
        Guid deploymentId, CancelDeployment cancel, CancellationToken cancellationToken) =>
        cancel.ExecuteAsync(deploymentId, cancellationToken);

    public static Task<Results<Accepted<Deployment>, ProblemHttpResult>> Retry(
        Guid deploymentId, RetryDeployment retry, CancellationToken cancellationToken) =>
        retry.ExecuteAsync(deploymentId, cancellationToken);
}

/// <summary>How often a page refreshes while work is in progress: less and less often, so that a tab left open costs little.</summary>
internal static class RefreshInterval
{
    /// <summary>Seconds between refreshes; null when nothing is in progress.</summary>
    public static int? Seconds(IEnumerable<Deployment> deployments, Shop shop, DateTimeOffset now)
    {
        var changing = deployments.Where(deployment => !deployment.IsFinal).Select(deployment => deployment.CreatedAt).ToList();
        if (changing.Count == 0)
            return shop.Status == ShopStatus.Deleting ? 2 : null;

        return (now - changing.Max()) switch
        {
            { TotalSeconds: < 30 } => 1,
            { TotalMinutes: < 5 } => 5,
            _ => 15,
        };
    }
}
