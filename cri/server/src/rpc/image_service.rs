//! CRI's ImageService.

use super::service::service;

service! {
    /// CRI's ImageService over a runtime.
    ImageServer serves cofferdam_cri_api::v1::image_service_server::ImageService;

    unary {
        "ListImages" list_images(ListImagesRequest) -> ListImagesResponse = image_list::list;
        "ImageStatus" image_status(ImageStatusRequest) -> ImageStatusResponse = image_list::status;
        "PullImage" pull_image(PullImageRequest) -> PullImageResponse = image_pull::pull;
        "RemoveImage" remove_image(RemoveImageRequest) -> RemoveImageResponse = image_remove::remove;
        "ImageFsInfo" image_fs_info(ImageFsInfoRequest) -> ImageFsInfoResponse = image_fs_info::info;
    }

    streams {
        "StreamImages" stream_images(StreamImagesRequest)
            -> StreamImagesStream of StreamImagesResponse = image_list::stream;
    }
}
